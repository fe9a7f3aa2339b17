import { useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { type FormEvent, useState } from "react";
import { api } from "../convex/_generated/api";
import type { Doc, Id } from "../convex/_generated/dataModel";

const PAGE = 10;

export function Chat() {
  const channels = useQuery(api.channels.get);
  const create = useMutation(api.channels.create);
  const [chosen, setChosen] = useState<Id<"channels"> | null>(null);
  const channel = channels?.find(({ _id }) => _id === chosen) ?? channels?.[0];

  return (
    <section aria-label="Chat">
      <h2>Chat</h2>
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
        {channels?.length === 0 && (
          <button onClick={() => void create({ name: "general" })}>Create #general</button>
        )}
      </nav>
      {channel !== undefined && <Messages key={channel._id} channel={channel} />}
    </section>
  );
}

function Messages({ channel }: { channel: Doc<"channels"> }) {
  const { results, status, loadMore } = usePaginatedQuery(
    api.messages.list,
    { channel: channel._id },
    { initialNumItems: PAGE },
  );
  const send = useMutation(api.messages.send);
  const [author, setAuthor] = useState("");
  const [body, setBody] = useState("");

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (body.trim() !== "") {
      setBody("");
      await send({ channel: channel._id, author, body: body.trim() });
    }
  }

  return (
    <>
      <form onSubmit={(event) => void submit(event)}>
        <input
          className="short"
          aria-label="Your name"
          placeholder="Name"
          value={author}
          onChange={(event) => setAuthor(event.target.value)}
        />
        <input
          aria-label="Message"
          placeholder={`Message #${channel.name}`}
          value={body}
          onChange={(event) => setBody(event.target.value)}
        />
        <button>Send</button>
      </form>
      <ol className="messages">
        {results.map((message) => (
          <li key={message._id}>
            <b>{message.author}</b>
            <time>{new Date(message._creationTime).toLocaleTimeString()}</time>
            <p>{message.body}</p>
          </li>
        ))}
      </ol>
      {status === "CanLoadMore" && (
        <button className="more" onClick={() => loadMore(PAGE)}>
          Older messages
        </button>
      )}
    </>
  );
}
