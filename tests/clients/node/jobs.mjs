// Functions that run later, as a page sees them: states and effects in live queries.

import { ConvexClient } from "convex/browser";
import { api, emit, follow, main } from "./program.mjs";

const { jobs, tasks } = api;

await main({
  async story({ url, room }) {
    const client = new ConvexClient(url, { logger: false });
    const plan = (text, seconds, acts = false) =>
      client.mutation(jobs.plan, { room, text, seconds, acts });
    const shown = follow(client, tasks.get, { room }, (list) => list.map((task) => task.text));
    await shown.until((value) => value !== undefined);
    const soon = await plan("soon", 0.5);
    const refused = await plan("refused", 0);
    const acted = await plan("acted", 0, true);
    const late = await plan("late", 3600);
    const states = Object.entries({ soon, refused, acted, late }).map(([name, job]) => [
      name,
      follow(client, jobs.state, { job }),
    ]);
    await client.mutation(jobs.cancel, { job: late });
    await shown.until((value) => value.length === 3);
    for (const [name, state] of states) {
      await state.until((value) => !["pending", "inProgress"].includes(value.kind));
      const seen = state.seen.map((value) => value.kind).filter((kind, at, all) => kind !== all[at - 1]);
      emit("state", { name, seen, error: state.current.error ?? null });
    }
    emit("shown", { texts: [...shown.current].sort() });
    await client.close();
  },
});
