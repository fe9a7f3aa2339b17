import { useMutation } from "convex/react";
import type { FunctionReturnType } from "convex/server";
import { api } from "../convex/_generated/api";

type Props = {
  label: string;
  messages: FunctionReturnType<typeof api.messages.newest> | undefined;
};

export function Messages({ label, messages }: Props) {
  const remove = useMutation(api.messages.remove);
  return (
    <section aria-label={label}>
      <h2>{label}</h2>
      {messages?.length === 0 && <p className="quiet">None yet.</p>}
      <ol>
        {messages?.map((message) => (
          <li key={message._id}>
            <b>{message.author}</b>
            <time>{new Date(message._creationTime).toLocaleTimeString()}</time>
            <button
              className="remove"
              aria-label={`Remove ${message.body || "image"}`}
              onClick={() => void remove({ message: message._id })}
            >
              ×
            </button>
            <p>{message.body}</p>
            {message.image_url !== null && (
              <img src={message.image_url} alt={`Image by ${message.author}`} />
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
