import { ConvexReactClient } from "convex/react";

// On a phone, 127.0.0.1 is the phone: name the computer's address in EXPO_PUBLIC_CONVEX_URL.
export const convex = new ConvexReactClient(
  process.env.EXPO_PUBLIC_CONVEX_URL ?? "http://127.0.0.1:3210",
  // There is no browser window that could be closed.
  { unsavedChangesWarning: false },
);
