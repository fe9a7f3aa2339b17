// Drives examples/auth-rules in Chromium: a token expires under an open page.
//
// Arguments: address of the page, name of the user, seconds since the epoch at which the token is
// surely expired, path of Chromium. What the page shows is recorded at every change of it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { emit } from "./program.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const [address, subject, expiry, executablePath] = process.argv.slice(2);

/** In the page: keep every state that it showed, as the texts of notes or what else it said. */
function record() {
  window.shown = [];
  const look = () => {
    const section = document.querySelector("section[aria-label=Notes]");
    const state = section
      ? [...section.querySelectorAll("li span")].map((note) => note.textContent).sort().join(",")
      : (document.querySelector("form, [role=status]")?.tagName ?? "nothing");
    if (window.shown.at(-1) !== state) window.shown.push(state);
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
}

const profile = mkdtempSync(join(tmpdir(), "syncline-chromium-"));
const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS });
try {
  const page = await context.newPage();
  const problems = [];
  const messages = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => messages.push(JSON.parse(payload))),
  );
  await page.addInitScript(record);
  await page.goto(address);
  await page.getByRole("textbox", { name: "Name" }).fill(subject);
  await page.getByRole("button", { name: "Sign in" }).click();
  const note = page.getByRole("textbox", { name: "New note" });
  const write = page.getByRole("button", { name: "Write" });
  await note.fill("before");
  await write.click();
  await page.getByText("before", { exact: true }).waitFor();
  emit("signed_in", { at: Date.now() / 1000 });
  // Nothing but time lets a token expire.
  await new Promise((resolve) => setTimeout(resolve, Number(expiry) * 1000 - Date.now()));
  await note.fill("after");
  await write.click();
  await page.getByText("after", { exact: true }).waitFor();
  emit("renewed", {
    shown: await page.evaluate(() => window.shown),
    authErrors: messages.filter((message) => message.type === "AuthError"),
    user: await page.getByText("Signed in as").innerText(),
  });
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("textbox", { name: "Name" }).waitFor();
  emit("done", { problems });
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
