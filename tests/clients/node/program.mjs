// What every client program is made of: events printed as JSON lines, queries followed until they
// show something, sockets that can be held.

import { isDeepStrictEqual } from "node:util";
import { anyApi as api } from "convex/server";
import { ConvexError } from "convex/values";
import WebSocket from "ws";

export { api };

/** Print one event for the test that started this program. */
export function emit(event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

/** Run the scenario that the command line names, as `name` or `name:argument`. */
export async function main(scenarios) {
  const [name, url, room, adminKey] = process.argv.slice(2);
  const [scenario, argument] = name.split(":");
  await scenarios[scenario]({ url, room, adminKey }, argument);
}

/** What a test wants to know of an error. */
export function described(error) {
  return {
    isConvexError: error instanceof ConvexError,
    message: error.message,
    data: error.data ?? null,
  };
}

/** Await a call that must fail; emits its error. */
export async function emitError(label, promise) {
  try {
    const value = await promise;
    emit("error", { label, unexpected: value ?? null });
  } catch (error) {
    emit("error", { label, ...described(error) });
  }
}

/** Follow a query: all that it showed, in order, and a way to wait for what it will show. */
export function follow(client, query, args, shorten = (value) => value) {
  const waiting = new Set();
  const followed = { seen: [], errors: [], current: undefined, until, unsubscribe: undefined };
  followed.unsubscribe = client.onUpdate(
    query,
    args,
    (value) => {
      followed.current = shorten(value);
      followed.seen.push(followed.current);
      check();
    },
    (error) => {
      followed.errors.push(described(error));
      check();
    },
  );
  function check() {
    for (const attempt of [...waiting]) attempt();
  }
  function until(condition) {
    return new Promise((resolve) => {
      function attempt() {
        if (followed.seen.length + followed.errors.length === 0) return;
        if (!condition(followed.current, followed)) return;
        waiting.delete(attempt);
        resolve(followed.current);
      }
      waiting.add(attempt);
      attempt();
    });
  }
  return followed;
}

/** What was shown, without repetitions of the same value. */
export function changes(seen) {
  return seen.filter((value, i) => i === 0 || !isDeepStrictEqual(value, seen[i - 1]));
}

/**
 * A WebSocket class for `webSocketConstructor` that records every message, and that can hold back
 * the messages of the sockets open at that moment, in either direction, until they are released.
 */
export function heldSockets() {
  const sent = [];
  const received = [];
  const open = new Set();
  const control = {
    sent,
    received,
    onMessage: () => {},
    holdOutgoing() {
      for (const socket of open) socket.held.out = [];
    },
    releaseOutgoing() {
      for (const socket of open) {
        const messages = socket.held.out;
        socket.held.out = null;
        for (const data of messages ?? []) socket.send(data);
      }
    },
    holdIncoming() {
      for (const socket of open) socket.held.in = [];
    },
  };

  class HeldSocket extends WebSocket {
    held = { out: null, in: null };

    constructor(...args) {
      super(...args);
      open.add(this);
      this.on("close", () => open.delete(this));
    }

    send(data) {
      if (this.held.out) {
        this.held.out.push(data);
        return;
      }
      sent.push(JSON.parse(data));
      super.send(data);
    }

    get onmessage() {
      return super.onmessage;
    }

    set onmessage(handler) {
      super.onmessage = (event) => {
        const message = JSON.parse(event.data);
        received.push(message);
        control.onMessage(message);
        if (this.held.in) this.held.in.push(() => handler(event));
        else handler(event);
      };
    }
  }

  return Object.assign(control, { WebSocket: HeldSocket });
}
