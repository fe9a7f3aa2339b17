// Drives examples/quickstart-react in Chromium, in two tabs, as its user would.
//
// Arguments: scenario, address of the page, folder for screenshots, path of Chromium. Every step
// waits for what the page shows; both tabs must show the same.

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

const [scenario, address, screenshots, executablePath] = process.argv.slice(2);

class Tab {
  constructor(page, name) {
    this.page = page;
    this.name = name;
    this.problems = [];
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") this.problems.push(message.text());
    });
    this.tasks = page.getByRole("region", { name: "Tasks" });
    this.chat = page.getByRole("region", { name: "Chat" });
  }

  task(text) {
    return this.tasks.getByRole("checkbox", { name: text });
  }

  texts() {
    return this.tasks.getByRole("listitem").locator("label").allInnerTexts();
  }

  messages() {
    return this.chat.getByRole("listitem").locator("p").allInnerTexts();
  }

  /** Wait until the list has so many items. */
  async count(list, number) {
    await list.getByRole("listitem").nth(number - 1).waitFor();
    return list.getByRole("listitem").count();
  }

  async add(text) {
    await this.page.getByRole("textbox", { name: "New task" }).fill(text);
    await this.page.getByRole("button", { name: "Add" }).click();
  }
}

async function open(context, name) {
  const tab = new Tab(await context.newPage(), name);
  await tab.page.goto(address);
  await tab.page.getByRole("heading", { name: "Syncline" }).waitFor();
  return tab;
}

/** What both tabs show once both show `number` tasks. */
async function agree(tabs, number) {
  await Promise.all(tabs.map((tab) => tab.count(tab.tasks, number)));
  return Promise.all(tabs.map((tab) => tab.texts()));
}

async function tasks(context) {
  const tabs = [await open(context, "first"), await open(context, "second")];
  const empty = tabs[0].tasks.getByText("Nothing to do.");
  await empty.waitFor();
  emit("open", { empty: await empty.isVisible() });

  emit("imported", { shown: await agree(tabs, 3) });

  await tabs[0].task("Walk the dog").waitFor();
  emit("fourth", { shown: await agree(tabs, 4), at: Date.now() });

  const begin = Date.now();
  await tabs[1].add("Water the plants");
  await Promise.all(tabs.map((tab) => tab.task("Water the plants").waitFor()));
  emit("fifth", { shown: await agree(tabs, 5), milliseconds: Date.now() - begin });

  await tabs[0].task("Walk the dog").click();
  await Promise.all(tabs.map((tab) => tab.tasks.locator(".done", { hasText: "Walk the dog" }).waitFor()));
  await tabs[1].page.getByRole("button", { name: "Remove Water the plants" }).click();
  await Promise.all(tabs.map((tab) => tab.task("Water the plants").waitFor({ state: "detached" })));
  emit("changed", {
    shown: await Promise.all(tabs.map((tab) => tab.texts())),
    checked: await Promise.all(tabs.map((tab) => tab.task("Walk the dog").isChecked())),
  });
  return tabs;
}

async function chat(context) {
  const tabs = [await open(context, "first"), await open(context, "second")];
  const [reader, writer] = tabs;
  await reader.chat.getByText("#general").waitFor();
  await reader.count(reader.chat, 10);
  const pages = [await reader.messages()];

  await writer.page.getByRole("textbox", { name: "Your name" }).fill("Ada");
  await writer.page.getByRole("textbox", { name: "Message" }).fill("hello from the other tab");
  await writer.chat.getByRole("button", { name: "Send" }).click();
  await Promise.all(tabs.map((tab) => tab.chat.getByText("hello from the other tab").waitFor()));
  pages.push(await reader.messages());

  const older = reader.chat.getByRole("button", { name: "Older messages" });
  while (await older.isVisible()) {
    await older.click();
    await reader.count(reader.chat, pages.at(-1).length + 1);
    pages.push(await reader.messages());
  }
  emit("pages", { pages });
  return tabs;
}

const profile = mkdtempSync(join(tmpdir(), "syncline-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  args: FLAGS,
  viewport: { width: 900, height: 1000 },
});
try {
  const tabs = await { tasks, chat }[scenario](context);
  await tabs[0].page.screenshot({ path: join(screenshots, `${scenario}.png`), fullPage: true });
  emit("done", { problems: tabs.flatMap((tab) => tab.problems) });
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
