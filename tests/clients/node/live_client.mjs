// ConvexClient and BaseConvexClient: live queries, optimistic updates, errors, large results.

import { BaseConvexClient, ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, changes, emit, emitError, follow, heldSockets, main } from "./program.mjs";

const texts = (tasks) => tasks.map((task) => task.text);

/** An optimistic update as applications write them: the new task is in the list at once. */
function addTask(store, { room, text }) {
  const tasks = store.getQuery(api.tasks.get, { room });
  if (tasks === undefined) return;
  const task = { _id: `new-${text}`, _creationTime: Date.now(), room, text: `${text} (sending)` };
  store.setQuery(api.tasks.get, { room }, [...tasks, task]);
}

const optimistic = { optimisticUpdate: addTask };

function quiet(url, sockets) {
  return new ConvexClient(url, { logger: false, webSocketConstructor: sockets?.WebSocket });
}

await main({
  async follows({ url, room }) {
    const [client, other] = [quiet(url), quiet(url)];
    const list = follow(client, api.tasks.get, { room }, texts);
    await list.until((value) => value.length === 0);
    for (const text of ["one", "two", "three"]) {
      await other.mutation(api.tasks.add, { room, text });
      await list.until((value) => value.includes(text));
    }
    emit("list", { seen: changes(list.seen), once: texts(await other.query(api.tasks.get, { room })) });
    await Promise.all([client.close(), other.close()]);
  },

  async built_in_socket({ url, room }) {
    const client = quiet(url, { WebSocket: globalThis.WebSocket });
    const list = follow(client, api.tasks.get, { room }, texts);
    await client.mutation(api.tasks.add, { room, text: "one" });
    await list.until((value) => value.length === 1);
    emit("list", { seen: list.current });
    await client.close();
  },

  async mutations_alone({ url, room }) {
    const sockets = heldSockets();
    const client = quiet(url, sockets);
    const name = room;
    const calls = Array.from({ length: 20 }, () => client.mutation(api.counters.increment, { name }));
    emit("values", { values: await Promise.all(calls) });
    emit("received", {
      responses: sockets.received
        .filter((m) => m.type === "MutationResponse")
        .map((m) => ({ position: sockets.received.indexOf(m), ts: m.ts })),
      transitions: sockets.received
        .filter((m) => m.type === "Transition")
        .map((m) => ({ position: sockets.received.indexOf(m), start: m.startVersion, end: m.endVersion })),
    });
    await client.close();
  },

  async optimistic_kept({ url, room }) {
    const sockets = heldSockets();
    const [client, other] = [quiet(url, sockets), new ConvexHttpClient(url)];
    const list = follow(client, api.tasks.get, { room }, texts);
    await list.until((value) => value.length === 0);
    sockets.holdOutgoing();
    const added = client.mutation(api.tasks.add, { room, text: "mine" }, optimistic);
    await list.until((value) => value.length === 1);
    await other.mutation(api.tasks.add, { room, text: "theirs" });
    await list.until((value) => value.length === 2);
    sockets.releaseOutgoing();
    const settled = await added.then(() => texts(client.client.localQueryResult("tasks:get", { room })));
    await list.until((value) => value.includes("mine"));
    emit("list", { seen: changes(list.seen), settled });
    await client.close();
  },

  async optimistic_rolled_back({ url, room }) {
    const client = quiet(url);
    const list = follow(client, api.tasks.get, { room }, texts);
    await client.mutation(api.tasks.add, { room, text: "kept" });
    await list.until((value) => value.length === 1);
    const begin = list.seen.length;
    const failing = client.mutation(api.tasks.add_and_fail, { room, text: "doomed" }, optimistic);
    await emitError("failing", failing);
    await list.until((value) => value.length === 1);
    emit("list", { seen: changes(list.seen.slice(begin)) });
    await client.close();
  },

  async optimistic_pair({ url, room }) {
    const client = quiet(url);
    const list = follow(client, api.tasks.get, { room }, texts);
    await list.until((value) => value.length === 0);
    const failing = client.mutation(api.tasks.add_and_fail, { room, text: "doomed" }, optimistic);
    const good = client.mutation(api.tasks.add, { room, text: "good" }, optimistic);
    await Promise.allSettled([failing, good]);
    await list.until((value) => value.includes("good"));
    emit("list", { seen: changes(list.seen) });
    await client.close();
  },

  async errors({ url, room }) {
    const client = quiet(url);
    const { mistakes, tasks } = api;
    await emitError("data", client.mutation(mistakes.refuse_change, { data: { code: 7n } }).catch((e) => {
      throw Object.assign(e, { data: { code: String(e.data.code) } });
    }));
    await emitError("text", client.mutation(mistakes.refuse_change, { data: "closed" }));
    await emitError("query data", client.query(mistakes.refuse, { data: { code: 8 } }));
    await emitError("crash", client.mutation(mistakes.crash_change, {}));
    await emitError("query crash", client.query(mistakes.crash, {}));
    await emitError("unknown function", client.mutation(tasks.nothing, {}));
    await emitError("unknown query", client.query(tasks.nothing, {}));
    await emitError("unknown action", client.action(tasks.nothing, {}));
    await emitError("wrong kind", client.mutation(tasks.get, { room }));
    await emitError("internal", client.query(mistakes.secret, {}));
    await emitError("wrong argument", client.query(mistakes.double, { number: "2" }));
    await emitError("missing argument", client.mutation(tasks.add, { room }));
    await emitError("malformed id", client.mutation(tasks.rename, { task: "nonsense", text: "x" }));
    await emitError("endless", client.query(mistakes.endless, {}));
    emit("after", { double: await client.query(mistakes.double, { number: 2 }) });
    await client.close();
  },

  // A query that never ends, while another client writes and a third one watches.
  async offender({ url, room: name }, offence) {
    const sockets = [heldSockets(), heldSockets(), heldSockets()];
    const [offender, writer, watcher] = sockets.map((held) => quiet(url, held));
    const counter = follow(watcher, api.counters.read, { name });
    await counter.until((value) => value === 0);
    let isOver = false;
    const over = emitError(offence, offender.query(api.mistakes[offence], {})).then(() => (isOver = true));
    let written = 0;
    while (!isOver) written = await writer.mutation(api.counters.increment, { name });
    await over;
    await counter.until((value) => value === written);
    emit("after", {
      written,
      connections: sockets.map(({ sent }) => sent.filter((m) => m.type === "Connect").length),
    });
    await Promise.all([offender, writer, watcher].map((client) => client.close()));
  },

  async error_comes_and_goes({ url, room: name }) {
    const [client, other] = [quiet(url), new ConvexHttpClient(url)];
    const counter = follow(client, api.mistakes.odd_only, { name });
    await counter.until((_, { errors }) => errors.length === 1);
    await other.mutation(api.counters.increment, { name });
    await counter.until((value) => value === 1);
    await other.mutation(api.counters.increment, { name });
    await counter.until((_, { errors }) => errors.length === 2);
    await other.mutation(api.counters.increment, { name });
    await counter.until((value) => value === 3);
    emit("counter", { values: counter.seen, errors: counter.errors.map((error) => error.data) });
    await client.close();
  },

  async large({ url, room: name }) {
    const sockets = heldSockets();
    const [client, other] = [quiet(url, sockets), new ConvexHttpClient(url)];
    const rows = 700;
    const row = 'é"\\\n😀'.repeat(1000);
    const right = (list) => list.slice(1).every((text, number) => text === `${number} ${row}`);
    const result = follow(client, api.results.large, { name, rows }, (list) => ({
      value: list[0],
      rows: list.length - 1,
      right: right(list),
    }));
    await result.until((value) => value.value === "0");
    await other.mutation(api.counters.increment, { name });
    await result.until((value) => value.value === "1");
    const chunks = sockets.received.filter((message) => message.type === "TransitionChunk");
    emit("large", {
      seen: result.seen,
      chunks: chunks.map((message) => [message.partNumber, message.totalParts]),
      chunkCharacters: Math.max(...chunks.map((message) => Buffer.byteLength(message.chunk))),
      bytes: chunks.reduce((sum, message) => sum + Buffer.byteLength(message.chunk), 0),
    });
    await client.close();
  },

  async unsubscribes({ url, room: name }) {
    const sockets = heldSockets();
    const [client, other] = [quiet(url, sockets), new ConvexHttpClient(url)];
    const left = follow(client, api.counters.read, { name });
    const stays = follow(client, api.counters.read, { name: `${name}-other` });
    await left.until((value) => value === 0);
    left.unsubscribe();
    await other.mutation(api.counters.increment, { name });
    await other.mutation(api.counters.increment, { name: `${name}-other` });
    await stays.until((value) => value === 1);
    const updates = sockets.received.flatMap((message) => message.modifications ?? []);
    emit("after", { left: left.seen, updates: updates.map(({ type, queryId }) => [type, queryId]) });
    const again = follow(client, api.counters.read, { name });
    emit("again", { value: await again.until((value) => value === 1) });
    await client.close();
  },

  async one_snapshot({ url, room }, count) {
    const transfers = Number(count);
    const [source, target] = [`${room}-source`, `${room}-target`];
    const writer = quiet(url);
    await writer.mutation(api.counters.increment, { name: source, by: 100 });
    await writer.mutation(api.counters.increment, { name: target, by: 0 });
    const seen = [];
    const settled = Promise.withResolvers();
    const reader = new BaseConvexClient(
      url,
      () => {
        const [a, b] = [source, target].map((name) => reader.localQueryResult("counters:read", { name }));
        if (a === undefined || b === undefined) return;
        seen.push([a, b]);
        if (b === transfers) settled.resolve();
      },
      { logger: false },
    );
    for (const name of [source, target]) reader.subscribe("counters:read", { name });
    for (let i = 0; i < transfers; i++)
      await writer.mutation(api.counters.transfer, { source, target, amount: 1 });
    await settled.promise;
    emit("seen", { pairs: seen });
    await Promise.all([reader.close(), writer.close()]);
  },

  async authenticates({ url, adminKey }) {
    const client = quiet(url);
    const who = follow(client, api.results.who, {});
    await who.until((value) => value === null);
    client.client.setAdminAuth(adminKey, {
      subject: "u1",
      issuer: "https://issuer.test",
      tokenIdentifier: "https://issuer.test|u1",
      name: "Zoë",
    });
    await who.until((value) => value !== null);
    const secret = await client.query(api.mistakes.secret, {});
    client.client.clearAuth();
    await who.until((value) => value === null);
    emit("who", { seen: changes(who.seen), secret });
    await emitError("secret", client.query(api.mistakes.secret, {}));
    await client.close();
  },

  async log_lines({ url, room: name }) {
    const log = (level) => (...args) => emit("log", { level, text: args.join(" ") });
    const logger = { log: log("log"), warn: log("warn"), error: log("error"), logVerbose() {} };
    const client = new ConvexClient(url, { logger });
    await client.query(api.results.chatty, { name });
    await client.mutation(api.results.chatty_change, { name });
    await client.close();
  },

  async shows_versions({ url, room: name }) {
    const sockets = heldSockets();
    const client = quiet(url, sockets);
    client.onUpdate(api.counters.read, { name }, () => {});
    const version = follow(client, api.versions.shown, {});
    for (const expected of ["first", "second", "third"]) {
      await version.until((value) => value === expected);
      emit(expected);
    }
    const updates = sockets.received.flatMap((message) => message.modifications ?? []);
    emit("seen", {
      values: version.seen,
      connections: sockets.sent.filter((message) => message.type === "Connect").length,
      updatesOfTheOther: updates.filter((update) => update.queryId === 0).length,
    });
    await client.close();
  },

  async is_pinged({ url, room: name }) {
    const sockets = heldSockets();
    const client = quiet(url, sockets);
    await follow(client, api.counters.read, { name }).until((value) => value === 0);
    const ping = Promise.withResolvers();
    sockets.onMessage = (message) => message.type === "Ping" && ping.resolve();
    await ping.promise;
    await client.mutation(api.counters.increment, { name });
    emit("after", {
      connections: sockets.sent.filter((message) => message.type === "Connect").length,
    });
    await client.close();
  },

  async paginates({ url, room }) {
    const [client, other] = [quiet(url), new ConvexHttpClient(url)];
    const numbers = Array.from({ length: 25 }, (_, i) => i * 10);
    await other.mutation(api.messages.send, { room, numbers });
    const results = [];
    const [exhausted, complete] = [Promise.withResolvers(), Promise.withResolvers()];
    const pages = client.onPaginatedUpdate_experimental(
      api.messages.page,
      { room },
      { initialNumItems: 10 },
      (result) => {
        results.push(result);
        if (result.status === "CanLoadMore") result.loadMore(10);
        if (result.status === "Exhausted") exhausted.resolve(result.results);
        if (result.results.length >= 30) complete.resolve(result.results);
      },
    );
    const before = await exhausted.promise;
    await other.mutation(api.messages.send, { room, numbers: [5, 95, 105, 195, 245] });
    const after = await complete.promise;
    emit("pages", {
      before: before.map((message) => message.number),
      after: after.map((message) => message.number),
      repeated: results.filter(({ results: m }) => new Set(m.map((x) => x._id)).size < m.length),
    });
    pages.unsubscribe();
    await client.close();
  },
});
