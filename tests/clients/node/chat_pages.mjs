// Drives examples/chat in Chromium, in two tabs, as its users would.
//
// Arguments: address of the page, folder for screenshots, path of Chromium. Every step waits for
// what a page shows.

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

const IMAGE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGM4oaEBRAwQCgAhLgRhHuBtwgAAAABJRU5ErkJggg==",
  "base64",
);

const [address, screenshots, executablePath] = process.argv.slice(2);

class Tab {
  constructor(page) {
    this.page = page;
    this.problems = [];
    this.refusals = [];
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("response", (response) => {
      if (response.status() >= 400) this.refusals.push(response.status());
    });
    this.messages = page.getByRole("region", { name: "Messages" });
    this.found = page.getByRole("region", { name: "Found" });
  }

  async open() {
    await this.page.goto(address);
    await this.page.getByRole("heading", { name: "Chat" }).waitFor();
  }

  async write(author, body, image) {
    await this.page.getByRole("textbox", { name: "Your name" }).fill(author);
    await this.page.getByRole("textbox", { name: "Message" }).fill(body);
    if (image) await this.page.getByLabel("Image").setInputFiles(image);
    await this.page.getByRole("button", { name: "Send" }).click();
  }

  texts(section) {
    return section.getByRole("listitem").locator("p").allInnerTexts();
  }
}

async function story(tabs) {
  const [first, second] = tabs;
  await first.page.getByRole("textbox", { name: "New channel" }).fill("garden");
  await first.page.keyboard.press("Enter");
  await Promise.all(tabs.map((tab) => tab.page.getByRole("button", { name: "#garden" }).waitFor()));

  await first.write("Ada", "The tomatoes are ripe");
  await second.messages.getByText("The tomatoes are ripe").waitFor();
  await second.write("Bob", "Mine have a disease");
  await first.messages.getByText("Mine have a disease").waitFor();
  emit("agree", { shown: await Promise.all(tabs.map((tab) => tab.texts(tab.messages))) });

  // Ada keeps a search open; what Bob writes later joins its results.
  await first.page.getByRole("searchbox", { name: "Search" }).fill("toma");
  await first.found.getByText("The tomatoes are ripe").waitFor();
  const before = await first.texts(first.found);
  await second.write("Bob", "Look at this tomato", {
    name: "leaf.png",
    mimeType: "image/png",
    buffer: IMAGE,
  });
  await first.found.getByText("Look at this tomato").waitFor();
  emit("search", { before, after: (await first.texts(first.found)).sort() });

  const image = first.messages.getByRole("img", { name: "Image by Bob" });
  await image.waitFor();
  const size = await image.evaluate(async (shown) => {
    await shown.decode();
    return [shown.naturalWidth, shown.naturalHeight];
  });
  const source = await image.getAttribute("src");
  const served = Buffer.from(await (await fetch(source)).arrayBuffer());
  emit("image", { size, same: served.equals(IMAGE) });
  await first.page.screenshot({ path: join(screenshots, "chat-example.png"), fullPage: true });

  await second.write("Bob", "not an image", {
    name: "virus.html",
    mimeType: "text/html",
    buffer: Buffer.from("<script></script>"),
  });
  const alert = second.page.getByRole("alert");
  await alert.waitFor();
  emit("refused", { said: await alert.innerText(), statuses: second.refusals });

  await second.messages.getByRole("button", { name: "Remove Look at this tomato" }).click();
  await image.waitFor({ state: "detached" });
  await first.found.getByText("Look at this tomato").waitFor({ state: "detached" });
  emit("removed", {
    found: await first.texts(first.found),
    status: (await fetch(source)).status,
  });
}

const profile = mkdtempSync(join(tmpdir(), "syncline-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  args: FLAGS,
  viewport: { width: 900, height: 1000 },
});
try {
  const tabs = [new Tab(await context.newPage()), new Tab(await context.newPage())];
  for (const tab of tabs) await tab.open();
  await story(tabs);
  emit("done", { problems: tabs.flatMap((tab) => tab.problems) });
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
