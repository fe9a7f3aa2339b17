import { useMutation, useQuery } from "convex/react";
import { type FormEvent, useState } from "react";
import { api } from "../convex/_generated/api";
import type { Id } from "../convex/_generated/dataModel";
import { Channel } from "./Channel";

export function App() {
  const channels = useQuery(api.channels.every);
  const create = useMutation(api.channels.create);
  const [chosen, setChosen] = useState<Id<"channels"> | null>(null);
  const [name, setName] = useState("");
  const channel = channels?.find(({ _id }) => _id === chosen) ?? channels?.[0];

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (name.trim() !== "") {
      setName("");
      setChosen(await create({ name }));
    }
  }

  return (
    <main>
      <h1>Chat</h1>
      <nav>
        {channels?.map(({ _id, name }) => (
          <button
            key={_id}
            aria-pressed={_id === channel?._id}
            onClick={() => setChosen(_id)}
          >
            #{name}
          </button>
        ))}
        <form onSubmit={(event) => void submit(event)}>
          <input
            aria-label="New channel"
            placeholder="New channel"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </form>
      </nav>
      {channel !== undefined && <Channel key={channel._id} channel={channel} />}
    </main>
  );
}
