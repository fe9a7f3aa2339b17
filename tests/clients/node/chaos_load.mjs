// Clients that append to a journal while their server is being killed: `ConvexClient`s, several
// mutations of each under way at once, and `ConvexHttpClient`s, which never ask again. Every client
// numbers its appends; tests/integration/test_chaos.py reads what is printed.

import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, emit, follow, main } from "./program.mjs";

const LIVE_CLIENTS = 4;
const HTTP_CLIENTS = 2;
const AT_ONCE = 4;

const waitingForProgress = new Set();

function acknowledged(client, number, called) {
  emit("acknowledged", { client, number, called });
  for (const goOn of waitingForProgress) goOn();
  waitingForProgress.clear();
}

function progress() {
  return new Promise((resolve) => waitingForProgress.add(resolve));
}

/** Append until the answer says that the load is over; the numbers are shared by all lanes. */
async function append(mutate, client, counter, onFailure) {
  let phase = "load";
  while (phase === "load") {
    counter.called += 1;
    const number = counter.called;
    const called = Date.now();
    try {
      phase = await mutate(api.journal.append, { client, number });
    } catch (error) {
      emit("unknown", { client, number, error: String(error.message) });
      await onFailure();
      continue;
    }
    acknowledged(client, number, called);
  }
}

async function live(url, name) {
  const client = new ConvexClient(url, { logger: false });
  const glance = follow(client, api.journal.glance, {});
  const counter = { called: 0 };
  const mutate = (...call) => client.mutation(...call);
  const lanes = Array.from({ length: AT_ONCE }, () => append(mutate, name, counter, () => {}));
  await Promise.all(lanes);
  emit("finished", { client: name, called: counter.called });
  const shown = await glance.until((value) => value.phase === "closed");
  emit("converged", { client: name, shown, errors: glance.errors });
  await client.close();
}

/** After a failure it waits until another client got through: the server is back. */
async function overHttp(url, name) {
  const client = new ConvexHttpClient(url, { logger: false });
  const counter = { called: 0 };
  await append((...call) => client.mutation(...call), name, counter, progress);
  emit("finished", { client: name, called: counter.called });
}

await main({
  async load({ url }) {
    const names = (kind, count) => Array.from({ length: count }, (_, i) => `${kind}-${i + 1}`);
    await Promise.all([
      ...names("npm", LIVE_CLIENTS).map((name) => live(url, name)),
      ...names("http", HTTP_CLIENTS).map((name) => overHttp(url, name)),
    ]);
  },
});
