// ConvexClient: live results of text and vector searches.

import { ConvexClient } from "convex/browser";
import { api, changes, emit, emitError, follow, main } from "./program.mjs";

const quiet = (url) => new ConvexClient(url, { logger: false });

await main({
  async words({ url, room }) {
    const [client, other] = [quiet(url), quiet(url)];
    const add = (text) => other.mutation(api.library.add, { room, text });
    const elsewhere = (text) => other.mutation(api.library.add, { room: `${room}-2`, text });
    const list = follow(client, api.library.find, { room, words: "live quer" });
    await list.until((value) => value.length === 0);
    const first = await add("A query is asked once");
    await list.until((value) => value.length === 1);
    await add("Nothing of the kind");
    await elsewhere("Live queries elsewhere");
    await add("Live queries are asked for ever");
    await list.until((value) => value.length === 2);
    await other.mutation(api.library.change, { book: first, text: "Something else" });
    await list.until((value) => value.length === 1);
    emit("list", { seen: changes(list.seen), errors: list.errors });
    await Promise.all([client.close(), other.close()]);
  },

  async pages({ url, room }) {
    const client = quiet(url);
    for (let i = 0; i < 25; i++) await client.mutation(api.library.add, { room, text: `${"many ".repeat(i % 4)}books ${i}` });
    const sizes = [];
    const texts = [];
    for (let cursor = null, isDone = false; !isDone; ) {
      const paginationOpts = { numItems: 10, cursor };
      const page = await client.query(api.library.pages, { room, words: "many books", paginationOpts });
      sizes.push(page.page.length);
      texts.push(...page.page.map((book) => book.text));
      ({ continueCursor: cursor, isDone } = page);
    }
    emit("pages", { sizes, texts });
    await client.close();
  },

  async own_writes({ url, room }) {
    const client = quiet(url);
    const found = await client.mutation(api.library.add_and_find, { room, text: "fresh ink", words: "in" });
    const words = Array.from({ length: 17 }, (_, i) => `w${i}`).join(" ");
    await emitError("words", client.query(api.library.find, { room, words }));
    emit("found", { found });
    await client.close();
  },
});
