// Actions through ConvexClient and ConvexHttpClient.

import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, emit, emitError, follow, heldSockets, main } from "./program.mjs";

const { actions, counters } = api;

function quiet(url, sockets) {
  return new ConvexClient(url, { logger: false, webSocketConstructor: sockets?.WebSocket });
}

await main({
  async calls({ url, room }) {
    const [client, http] = [quiet(url), new ConvexHttpClient(url, { logger: false })];
    const live = await client.action(actions.count_up, { name: room, times: 3 });
    emit("live", { value: live });
    emit("http", { value: await http.action(actions.count_up, { name: room, times: 2 }) });
    const value = { n: 7n, b: new Uint8Array([0, 255]).buffer, list: [1.5, "two", null] };
    const echoed = await client.action(actions.echo, { value });
    emit("echo", { n: String(echoed.n), b: [...new Uint8Array(echoed.b)], list: echoed.list });
    emit("caught", { message: await http.action(actions.catch, {}) });
    await client.close();
  },

  async at_the_same_time({ url, room }) {
    const client = quiet(url);
    const waiting = client.action(actions.wait_for, { name: room, value: 2 });
    // Later actions and mutations of the same connection do not queue behind it.
    await client.action(actions.count_up, { name: room, times: 1 });
    await client.mutation(counters.increment, { name: room });
    emit("waited", { value: await waiting });
    await client.close();
  },

  async shown({ url, room }) {
    const sockets = heldSockets();
    const client = quiet(url, sockets);
    const counter = follow(client, counters.read, { name: room });
    await counter.until((value) => value === 0);
    await client.action(actions.count_up, { name: room, times: 3 });
    await counter.until((value) => value === 3);
    const followed = () => {
      const types = sockets.received.map((m) => m.type);
      return types.indexOf("Transition", types.indexOf("ActionResponse"));
    };
    // What it wrote may have been shown before its answer; an update follows all the same.
    while (followed() < 0) await new Promise((resolve) => (sockets.onMessage = resolve));
    emit("shown", { seen: counter.seen });
    await client.close();
  },

  async errors({ url, room }) {
    const [client, http] = [quiet(url), new ConvexHttpClient(url, { logger: false })];
    for (const [name, caller] of [["live", client], ["http", http]]) {
      await emitError(`${name} data`, caller.action(actions.refuse, { data: { code: 7 } }));
      await emitError(`${name} crash`, caller.action(actions.crash, {}));
      await emitError(`${name} unknown`, caller.action(actions.nothing, {}));
      await emitError(`${name} internal`, caller.action(actions.refuse_inside, { data: 1 }));
      await emitError(`${name} wrong kind`, caller.action(counters.read, { name: room }));
      await emitError(`${name} wrong argument`, caller.action(actions.count_up, { name: room }));
    }
    await emitError("network in a mutation", client.mutation(actions.tries_the_network, {}));
    await client.close();
  },

  async leaves({ url, room }) {
    const sockets = heldSockets();
    const client = quiet(url, sockets);
    client.action(actions.wait_for_ever, { name: room }).catch(() => {});
    const other = quiet(url);
    const counter = follow(other, counters.read, { name: room });
    await counter.until((value) => value === 1);
    await client.close();
    emit("left");
    await other.action(actions.count_up, { name: room, times: 1 });
    // An action's answer and the update that shows what it wrote are apart.
    await counter.until((value) => value === 2);
    emit("after", { values: counter.seen });
    await other.close();
  },

  async is_stopped({ url, room }) {
    const client = quiet(url);
    const waiting = client.action(actions.wait_for_ever, { name: room });
    emit("waiting");
    await emitError("stopped", waiting);
    await client.close();
  },
});
