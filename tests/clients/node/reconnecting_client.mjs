// ConvexClient while its server or its server's Postgres is killed and comes back.

import { ConvexClient } from "convex/browser";
import { api, emit, follow, heldSockets, main } from "./program.mjs";

const AT_ONCE = 8;

await main({
  // The answer reaches this machine but never the client, which asks again after the restart.
  async answer_lost({ url, room: name }) {
    const sockets = heldSockets();
    const client = new ConvexClient(url, { logger: false, webSocketConstructor: sockets.WebSocket });
    const counter = follow(client, api.counters.read, { name });
    await counter.until((value) => value === 0);
    sockets.holdIncoming();
    const increment = client.mutation(api.counters.increment, { name });
    emit("sent");
    const value = await increment;
    await counter.until((seen) => seen === 1);
    emit("answered", {
      value,
      connections: sockets.sent.filter((message) => message.type === "Connect").length,
      requests: sockets.sent.filter((m) => m.type === "Mutation").map((m) => m.requestId),
      responses: sockets.received.filter((m) => m.type === "MutationResponse"),
    });
    await client.close();
  },

  // Another client, to whom the first one's commit shows.
  async waits_for_one({ url, room: name }) {
    const client = new ConvexClient(url, { logger: false });
    await follow(client, api.counters.read, { name }).until((value) => value === 1);
    await client.close();
  },

  // Many mutations under way when it happens, and more called meanwhile.
  async burst({ url, room: name }, count) {
    const client = new ConvexClient(url, { logger: false });
    const counter = follow(client, api.counters.read, { name });
    const total = Number(count);
    let [called, answered] = [0, 0];
    async function lane() {
      while (called < total) {
        called += 1;
        await client.mutation(api.counters.increment, { name });
        answered += 1;
        if (answered === total / 5) emit("under way");
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    await counter.until((value) => value === total);
    const backwards = counter.seen.filter((value, i) => i > 0 && value < counter.seen[i - 1]);
    emit("done", { answered, shown: counter.current, backwards });
    await counter.until((value) => value > total);
    emit("followed", { value: counter.current });
    await client.close();
  },

  // Idle while the server goes away and comes back with changed data.
  async idle({ url, room: name }) {
    const sockets = heldSockets();
    const client = new ConvexClient(url, { logger: false, webSocketConstructor: sockets.WebSocket });
    const counter = follow(client, api.counters.read, { name });
    await counter.until((value) => value === 0);
    emit("waiting");
    await counter.until((value) => value === 5);
    const connects = sockets.sent.filter((message) => message.type === "Connect");
    emit("followed", { seen: counter.seen, reason: connects.at(-1).lastCloseReason });
    await client.close();
  },
});
