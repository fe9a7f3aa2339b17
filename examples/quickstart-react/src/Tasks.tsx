import { useMutation, useQuery } from "convex/react";
import { type FormEvent, useState } from "react";
import { api } from "../convex/_generated/api";

export function Tasks() {
  const tasks = useQuery(api.tasks.get);
  const [text, setText] = useState("");
  const add = useMutation(api.tasks.add);
  const remove = useMutation(api.tasks.remove);
  // The list shows the change at once; the server's answer replaces it.
  const toggle = useMutation(api.tasks.toggle).withOptimisticUpdate((store, { id }) => {
    const current = store.getQuery(api.tasks.get);
    if (current !== undefined) {
      const changed = current.map((task) =>
        task._id === id ? { ...task, isCompleted: !task.isCompleted } : task,
      );
      store.setQuery(api.tasks.get, {}, changed);
    }
  });

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (text.trim() !== "") {
      setText("");
      await add({ text: text.trim() });
    }
  }

  return (
    <section aria-label="Tasks">
      <h2>Tasks</h2>
      {tasks === undefined && <p className="quiet">Loading…</p>}
      {tasks?.length === 0 && <p className="quiet">Nothing to do.</p>}
      <ul className="tasks">
        {tasks?.map((task) => (
          <li key={task._id}>
            <label className={task.isCompleted ? "done" : ""}>
              <input
                type="checkbox"
                checked={task.isCompleted}
                onChange={() => void toggle({ id: task._id })}
              />
              <span>{task.text}</span>
            </label>
            <button
              className="remove"
              aria-label={`Remove ${task.text}`}
              onClick={() => void remove({ id: task._id })}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      <form onSubmit={(event) => void submit(event)}>
        <input
          aria-label="New task"
          placeholder="What is to be done?"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <button>Add</button>
      </form>
    </section>
  );
}
