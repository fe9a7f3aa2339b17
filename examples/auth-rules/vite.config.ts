import { execFileSync } from "node:child_process";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Stands for an identity provider while developing: `/token?subject=ada` signs anybody in. */
const developmentTokens: Plugin = {
  name: "development-tokens",
  configureServer(server) {
    server.middlewares.use("/token", (request, response) => {
      const subject = new URL(request.url ?? "", "http://localhost").searchParams.get("subject");
      const { SYNCLINE = "syncline", SYNCLINE_DATA = ".syncline" } = process.env;
      const options = ["--subject", subject ?? "", "--data", SYNCLINE_DATA];
      response.end(execFileSync(SYNCLINE, ["auth", "token", ...options]).toString().trim());
    });
  },
};

export default defineConfig({ plugins: [react(), developmentTokens] });
