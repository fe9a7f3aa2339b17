import { Authenticated, AuthLoading, Unauthenticated, useMutation, useQuery } from "convex/react";
import { type FormEvent, useState } from "react";
import { api } from "../convex/_generated/api";
import { useSessionContext } from "./context";

export function App() {
  return (
    <main>
      <h1>Notes</h1>
      <AuthLoading>
        <p role="status">Signing in…</p>
      </AuthLoading>
      <Unauthenticated>
        <SignIn />
      </Unauthenticated>
      <Authenticated>
        <Notes />
      </Authenticated>
    </main>
  );
}

function SignIn() {
  const { setSubject } = useSessionContext();
  const [subject, enter] = useState("");
  function submit(event: FormEvent) {
    event.preventDefault();
    if (subject) setSubject(subject);
  }
  return (
    <form onSubmit={submit}>
      <input aria-label="Name" value={subject} onChange={(event) => enter(event.target.value)} />
      <button>Sign in</button>
    </form>
  );
}

function Notes() {
  const { setSubject } = useSessionContext();
  const me = useQuery(api.notes.me);
  const notes = useQuery(api.notes.visible);
  const write = useMutation(api.notes.write);
  const remove = useMutation(api.notes.remove);
  const [text, enter] = useState("");
  function submit(event: FormEvent) {
    event.preventDefault();
    if (text) void write({ text });
    enter("");
  }
  return (
    <section aria-label="Notes">
      <p>
        Signed in as <strong>{me}</strong>. <button onClick={() => setSubject(null)}>Sign out</button>
      </p>
      <form onSubmit={submit}>
        <input aria-label="New note" value={text} onChange={(event) => enter(event.target.value)} />
        <button>Write</button>
      </form>
      <ul>
        {notes?.map((note) => (
          <li key={note._id}>
            <span>{note.text}</span>
            <button aria-label={`Remove ${note.text}`} onClick={() => void remove({ note: note._id })}>
              ×
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
