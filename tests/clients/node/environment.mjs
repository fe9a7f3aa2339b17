// The npm client reading an environment variable: see tests/clients/program.py.

import { ConvexClient } from "convex/browser";
import WebSocket from "ws";
import { api, emit, main } from "./program.mjs";

await main({
  async reads_variable({ url }, name) {
    const client = new ConvexClient(url, { webSocketConstructor: WebSocket, logger: false });
    const [value] = await client.query(api.environment.variable, { name });
    emit("variable", { value });
    await client.close();
  },
});
