import { createContext, useContext } from "react";
import type { useSession } from "./session";

export const SessionContext = createContext<ReturnType<typeof useSession> | null>(null);

/** The session of this page, which there is below `SessionContext`. */
export function useSessionContext() {
  const session = useContext(SessionContext);
  if (session === null) throw new Error("There is no SessionContext around this component.");
  return session;
}
