// Clients that play a planned sequence of calls, several at a time, and write down what happened
// when: tests/integration/test_serializability.py makes the plan and judges the history.

import { readFileSync } from "node:fs";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { emit, follow, main } from "./program.mjs";

const BATCH = 200;

/** The clock that Python calls `time.monotonic_ns`; as text, because numbers end at 2^53. */
function now() {
  return String(process.hrtime.bigint());
}

function clients(url, { live, http }) {
  return [
    ...Array.from({ length: live }, () => new ConvexClient(url, { logger: false })),
    ...Array.from({ length: http }, () => new ConvexHttpClient(url, { logger: false })),
  ];
}

async function play(client, { id, kind, path, args }) {
  const invoked = now();
  const entry = { id, invoked };
  try {
    entry.value = await client[kind](makeFunctionReference(path), args);
  } catch (error) {
    entry.error = String(error.data ?? error.message);
  }
  return { ...entry, completed: now() };
}

await main({
  // `plan`: a file with how many clients of each kind, how many lanes a live client has, the calls.
  async play({ url, room: plan }) {
    const { live, http, lanes, calls } = JSON.parse(readFileSync(plan, "utf8"));
    const all = clients(url, { live, http });
    emit("begun", { clock: now() });
    const todo = calls.values();
    let history = [];
    async function lane(client) {
      for (const call of todo) {
        history.push(await play(client, call));
        if (history.length === BATCH) emit("played", { history: history.splice(0) });
      }
    }
    await Promise.all(
      all.flatMap((client, i) => Array.from({ length: i < live ? lanes : 1 }, () => lane(client))),
    );
    emit("played", { history });
    await Promise.all(all.slice(0, live).map((client) => client.close()));
    emit("done");
  },

  // Subscriptions, one client each, and a count of what each showed; ends with the last of them.
  async watch({ url, room: plan }) {
    const watched = JSON.parse(readFileSync(plan, "utf8"));
    const all = watched.map(() => new ConvexClient(url, { logger: false }));
    const followed = watched.map(({ path, args }, i) =>
      follow(all[i], makeFunctionReference(path), args),
    );
    await Promise.all(followed.map((each) => each.until(() => true)));
    emit("watching", { seen: followed.map((each) => each.seen) });
    await followed.at(-1).until((_, { seen }) => seen.length > 1);
    emit("watched", {
      seen: followed.map((each) => each.seen),
      errors: followed.flatMap((each) => each.errors),
    });
    await Promise.all(all.map((client) => client.close()));
  },

  // Every client subscribes to every query and reports what it is shown, until it is ended.
  async report({ url, room: plan }) {
    const { clients, queries } = JSON.parse(readFileSync(plan, "utf8"));
    for (let client = 0; client < clients; client += 1) {
      const subscriber = new ConvexClient(url, { logger: false });
      queries.forEach(({ path, args }, query) =>
        subscriber.onUpdate(
          makeFunctionReference(path),
          args,
          (value) => emit("shown", { client, query, value }),
          (error) => emit("failed", { client, query, error: error.message }),
        ),
      );
    }
    await new Promise(() => {});
  },
});
