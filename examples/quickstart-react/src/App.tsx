import { Chat } from "./Chat";
import { Tasks } from "./Tasks";

export function App() {
  return (
    <main>
      <header>
        <h1>Syncline</h1>
        <p>Open this page twice: every change shows in both at once.</p>
      </header>
      <Tasks />
      <Chat />
    </main>
  );
}
