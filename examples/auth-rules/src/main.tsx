import { ConvexProviderWithAuth, ConvexReactClient } from "convex/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { SessionContext, useSessionContext } from "./context";
import { useSession } from "./session";
import "./style.css";

const convex = new ConvexReactClient(import.meta.env.VITE_CONVEX_URL ?? "http://127.0.0.1:3210");

function Root() {
  const session = useSession();
  return (
    <SessionContext value={session}>
      <ConvexProviderWithAuth client={convex} useAuth={useSessionContext}>
        <App />
      </ConvexProviderWithAuth>
    </SessionContext>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Root />
  </StrictMode>,
);
