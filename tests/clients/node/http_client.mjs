// ConvexHttpClient: one request a call, no socket.

import { isDeepStrictEqual } from "node:util";
import { ConvexHttpClient } from "convex/browser";
import { api, emit, emitError, main } from "./program.mjs";

const VALUES = {
  nothing: null,
  truth: true,
  whole: 3,
  fraction: 0.1,
  negativeZero: -0,
  infinite: -Infinity,
  undefinedNumber: NaN,
  tiny: 5e-324,
  huge: 2 ** 60,
  big: 2n ** 63n - 1n,
  negativeBig: -1n,
  text: 'é"\\\n😀\u0000',
  bytes: new Uint8Array([0, 1, 254, 255]).buffer,
  list: [1, "two", [null, {}]],
  object: { "a name with spaces": { nested: [1n] }, "": 0 },
};

await main({
  async calls({ url, room }) {
    const client = new ConvexHttpClient(url);
    const before = await client.query(api.tasks.get, { room });
    const id = await client.mutation(api.tasks.add, { room, text: "one" });
    const [task] = await client.query(api.tasks.get, { room });
    emit("calls", { before, id, task });
  },

  async consistent({ url, room }) {
    const [reader, writer] = [new ConvexHttpClient(url), new ConvexHttpClient(url)];
    await writer.mutation(api.counters.increment, { name: room });
    const first = await reader.consistentQuery(api.counters.read, { name: room });
    await writer.mutation(api.counters.increment, { name: room });
    const second = await reader.consistentQuery(api.counters.read, { name: room });
    const fresh = await reader.query(api.counters.read, { name: room });
    emit("consistent", { first, second, fresh });
  },

  async values({ url, room }) {
    const client = new ConvexHttpClient(url);
    const echoed = await client.query(api.results.echo, { value: VALUES });
    await client.mutation(api.results.keep, { room, value: VALUES });
    const [kept] = await client.query(api.results.kept, { room });
    emit("values", {
      echoed: Object.keys(VALUES).filter((key) => !isDeepStrictEqual(echoed[key], VALUES[key])),
      kept: Object.keys(VALUES).filter((key) => !isDeepStrictEqual(kept[key], VALUES[key])),
    });
  },

  async errors({ url, room }) {
    const client = new ConvexHttpClient(url, { logger: false });
    const { mistakes, tasks, nothing } = api;
    await emitError("data", client.query(mistakes.refuse, { data: { code: 7, why: ["no"] } }));
    await emitError("text", client.mutation(mistakes.refuse_change, { data: "closed" }));
    await emitError("null", client.mutation(mistakes.refuse_change, { data: null }));
    await emitError("crash", client.query(mistakes.crash, {}));
    await emitError("crash in a mutation", client.mutation(mistakes.crash_change, {}));
    await emitError("unknown function", client.query(tasks.nothing, {}));
    await emitError("unknown module", client.mutation(nothing.here, {}));
    await emitError("wrong kind", client.mutation(tasks.get, { room }));
    await emitError("internal", client.query(mistakes.secret, {}));
    await emitError("missing argument", client.query(mistakes.double, {}));
    await emitError("wrong argument", client.query(mistakes.double, { number: "2" }));
    await emitError("extra argument", client.query(mistakes.double, { number: 2, more: 1 }));
    await emitError("endless", client.query(mistakes.endless, {}));
    await emitError("rolled back", client.mutation(tasks.add_and_fail, { room, text: "x" }));
    emit("after", { tasks: await client.query(tasks.get, { room }) });
  },

  async admin({ url, adminKey }) {
    const client = new ConvexHttpClient(url, { logger: false });
    client.setAdminAuth(adminKey);
    emit("admin", { secret: await client.query(api.mistakes.secret, {}) });
    client.setAdminAuth(adminKey, {
      subject: "u1",
      issuer: "https://issuer.test",
      tokenIdentifier: "https://issuer.test|u1",
      name: "Zoë",
    });
    emit("impersonated", { who: await client.query(api.results.who, {}) });
    client.clearAuth();
    emit("anonymous", { who: await client.query(api.results.who, {}) });
    client.setAdminAuth(adminKey.slice(0, -4) + "0000");
    await emitError("bad key", client.query(api.results.who, {}));
  },
});
