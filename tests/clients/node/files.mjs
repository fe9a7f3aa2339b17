// Files as browsers handle them: `fetch` for bytes, the official clients for everything else.

import { createHash, randomBytes } from "node:crypto";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, emit, follow, main } from "./program.mjs";

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("base64");
const bytesOf = async (response) => Buffer.from(await response.arrayBuffer());

async function post(url, bytes, type, headers = {}) {
  const body = new Blob([bytes], type ? { type } : {});
  return await fetch(url, { method: "POST", body, headers });
}

async function refusal(label, promise) {
  const response = await promise;
  const isJson = response.headers.get("Content-Type") === "application/json";
  const { code = null } = isJson ? await response.json() : {};
  emit("refused", { label, status: response.status, code });
}

/** On AWS a file is gone once its object is, some moments after the commit. */
async function statusOnceGone(address) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const response = await fetch(address, { method: "HEAD" });
    if (response.status !== 200 || Date.now() > deadline) return response.status;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function good(promise) {
  const response = await promise;
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return response;
}

/** Upload as the docs say for large files; the storage id. */
async function putDirectly(url, bytes, contentType) {
  const description = { size: bytes.length, sha256: sha256(bytes), contentType };
  const described = await good(fetch(url, { method: "POST", body: JSON.stringify(description) }));
  const { url: place, method, headers, confirmUrl } = await described.json();
  await good(fetch(place, { method, headers, body: bytes }));
  return (await (await good(fetch(confirmUrl, { method: "POST" }))).json()).storageId;
}

await main({
  async story({ url }) {
    const client = new ConvexClient(url);
    const content = randomBytes(300_000);
    const uploadUrl = await client.mutation(api.files.upload_url, {});
    const answer = await post(uploadUrl, content, "image/png");
    const { storageId } = await answer.json();
    const shown = follow(client, api.files.url, { id: storageId });
    await shown.until((value) => value !== undefined);
    const whole = await fetch(shown.current);
    const bytes = await bytesOf(whole);
    const part = await fetch(shown.current, { headers: { Range: "bytes=1000-1999" } });
    const known = await fetch(shown.current, {
      headers: { "If-None-Match": whole.headers.get("ETag") },
    });
    const head = await fetch(shown.current, { method: "HEAD" });
    emit("served", {
      storageId,
      same: bytes.equals(content),
      type: whole.headers.get("Content-Type"),
      cache: whole.headers.get("Cache-Control"),
      partStatus: part.status,
      partRange: part.headers.get("Content-Range"),
      samePart: (await bytesOf(part)).equals(content.subarray(1000, 2000)),
      knownStatus: known.status,
      head: [head.status, head.headers.get("Content-Length")],
      row: await client.query(api.files.row, { id: storageId }),
      metadata: await client.query(api.files.metadata, { id: storageId }),
      sha256: sha256(content),
    });
    const address = shown.current;
    await client.mutation(api.files.remove, { id: storageId });
    await shown.until((value) => value === null);
    emit("deleted", { seen: shown.seen.length, status: await statusOnceGone(address) });
    await client.close();
  },

  async refusals({ url }) {
    const client = new ConvexHttpClient(url);
    const upload = await client.mutation(api.files.upload_url, {});
    const limited = await client.mutation(api.files.upload_url, {
      max_bytes: 10,
      content_types: ["image/*"],
    });
    const bytes = randomBytes(3_000_000);
    const digest = { Digest: `sha-256=${sha256("other")}` };
    await refusal("digest", post(upload, bytes, "text/plain", digest));
    await refusal("large", post(limited, bytes, "image/png"));
    await refusal("type", post(limited, bytes.subarray(0, 5), "text/plain"));
    await refusal("token", post(upload.slice(0, -3) + "abc", "x", "text/plain"));
    await refusal("unknown", fetch(`${url}/api/storage/00000000-0000-4000-8000-000000000000`));
    const privately = await client.mutation(api.files.upload_url, { private: true });
    await refusal("private digest", post(privately, bytes, "text/plain", digest));
    const stored = await (await post(privately, "secret", "text/plain")).json();
    const address = await client.query(api.files.url, { id: stored.storageId, expires_in: 3 });
    const before = await fetch(address);
    emit("private", { status: before.status, content: await before.text() });
    while (Date.now() / 1000 <= Number(new URL(address).searchParams.get("expires"))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await refusal("expired", fetch(address));
    await client.mutation(api.files.remove, { id: stored.storageId });
  },

  async direct({ url }, size) {
    const client = new ConvexHttpClient(url);
    const bytes = randomBytes(Number(size));
    const upload = await client.mutation(api.files.upload_url, { direct: true });
    const storageId = await putDirectly(upload, bytes, "video/mp4");
    const address = await client.query(api.files.url, { id: storageId });
    const served = await fetch(address);
    emit("direct", {
      same: (await bytesOf(served)).equals(bytes),
      type: served.headers.get("Content-Type"),
    });
  },
});
