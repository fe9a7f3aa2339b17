// ConvexClient.setAuth and ConvexHttpClient.setAuth against an identity provider on loopback.
//
// The scenario's argument is the provider's port, the room names the users; the functions are those of examples/auth-rules.

import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { api, changes, emit, emitError, follow, heldSockets, main } from "./program.mjs";

const CLOCK_SKEW_SECONDS = 5;
const texts = (notes) => notes.map((note) => note.text).sort();

async function fetched(port, path) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return answer.text();
}

const token = (port, subject) => fetched(port, `/token?subject=${subject}`);
const claims = (jwt) => JSON.parse(Buffer.from(jwt.split(".")[1], "base64url").toString());

/** A client of one user, and all that it was told about its sign-in. */
function signedIn(url, port, subject, path = `/token?subject=${subject}`) {
  const sockets = heldSockets();
  const told = { isAuthenticated: [], forced: [], tokens: [], failures: [] };
  const logger = { logVerbose() {}, log() {}, warn() {}, error: (...parts) => told.failures.push(parts.join(" ")) };
  const client = new ConvexClient(url, { logger, webSocketConstructor: sockets.WebSocket });
  const isSettled = new Promise((resolve) => {
    client.setAuth(
      async ({ forceRefreshToken }) => {
        told.forced.push(forceRefreshToken);
        told.tokens.push(await fetched(port, path));
        return told.tokens.at(-1);
      },
      (isAuthenticated) => {
        told.isAuthenticated.push(isAuthenticated);
        resolve(isAuthenticated);
      },
    );
  });
  return { client, sockets, told, isSettled };
}

function authErrors(sockets) {
  return sockets.received.filter((message) => message.type === "AuthError");
}

/** Wait until a token is too old even for a clock that differs: nothing but time can do it. */
async function expiry(jwt) {
  const end = (claims(jwt).exp + CLOCK_SKEW_SECONDS) * 1000 + 200;
  await new Promise((resolve) => setTimeout(resolve, end - Date.now()));
}

function summary({ sockets, told }, list) {
  return {
    seen: changes(list.seen),
    errors: list.errors,
    isAuthenticated: told.isAuthenticated,
    forced: told.forced,
    tokens: new Set(told.tokens).size,
    authErrors: authErrors(sockets),
    connects: sockets.sent.filter((message) => message.type === "Connect").length,
  };
}

await main({
  async signs_in({ url, room }, port) {
    const ada = signedIn(url, port, `ada-${room}`);
    const bob = signedIn(url, port, `bob-${room}`);
    const [hers, his] = [ada, bob].map(({ client }) => follow(client, api.notes.visible, {}, texts));
    emit("settled", { values: await Promise.all([ada.isSettled, bob.isSettled]) });
    await ada.client.mutation(api.notes.write, { text: "by ada" });
    await bob.client.mutation(api.notes.write, { text: "by bob" });
    await hers.until((value) => value.includes("by ada"));
    await his.until((value) => value.includes("by bob"));
    const http = new ConvexHttpClient(url);
    http.setAuth(await token(port, `bob-${room}`));
    const anonymous = new ConvexHttpClient(url);
    emit("shown", {
      hers: hers.current,
      his: his.current,
      http: texts(await http.query(api.notes.visible)),
      anonymous: texts(await anonymous.query(api.notes.visible)),
    });
    ada.client.client.clearAuth();
    await hers.until((value) => value.length === 0);
    emit("signed_out", { hers: hers.current });
    await Promise.all([ada.client.close(), bob.client.close()]);
  },

  async expires_under_a_mutation({ url, room }, port) {
    const ada = signedIn(url, port, room);
    const list = follow(ada.client, api.notes.visible, {}, texts);
    await ada.isSettled;
    await ada.client.mutation(api.notes.write, { text: "one" });
    await list.until((value) => value.length === 1);
    await expiry(ada.told.tokens[0]);
    await ada.client.mutation(api.notes.write, { text: "two" });
    await list.until((value) => value.length === 2);
    emit("result", summary(ada, list));
    await ada.client.close();
  },

  async expires_while_idle({ url, room }, port) {
    const ada = signedIn(url, port, room);
    const list = follow(ada.client, api.notes.visible, {}, texts);
    await ada.isSettled;
    await list.until((value) => value.length === 0);
    await expiry(ada.told.tokens[0]);
    const elsewhere = new ConvexHttpClient(url);
    elsewhere.setAuth(await token(port, room));
    await elsewhere.mutation(api.notes.write, { text: "from elsewhere" });
    await list.until((value) => value.length === 1);
    emit("result", summary(ada, list));
    await ada.client.close();
  },

  async rotates({ url, room }, port) {
    const early = signedIn(url, port, room);
    const list = follow(early.client, api.notes.visible, {}, texts);
    await early.isSettled;
    await list.until((value) => value.length === 0);
    await fetched(port, "/rotate");
    const late = signedIn(url, port, room);
    emit("settled", { late: await late.isSettled });
    await late.client.mutation(api.notes.write, { text: "with the new key" });
    await list.until((value) => value.length === 1);
    await early.client.mutation(api.notes.write, { text: "with the old key" });
    await list.until((value) => value.length === 2);
    emit("result", summary(early, list));
    await Promise.all([early.client.close(), late.client.close()]);
  },

  async is_refused({ url, room }, port) {
    const mallory = signedIn(url, port, room, "/stranger");
    const list = follow(mallory.client, api.notes.me, {});
    emit("settled", { value: await mallory.isSettled });
    await list.until((value) => value === null);
    const http = new ConvexHttpClient(url);
    http.setAuth(await fetched(port, "/stranger"));
    await emitError("http", http.query(api.notes.me));
    emit("result", { ...summary(mallory, list), failures: mallory.told.failures });
    await mallory.client.close();
  },
});
