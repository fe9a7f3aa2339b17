import { useMutation } from "convex/react";
import { type FormEvent, useRef, useState } from "react";
import { api } from "../convex/_generated/api";
import type { Doc, Id } from "../convex/_generated/dataModel";

/** Send a file to an upload URL; returns the id that it is stored under. */
async function upload(url: string, file: File): Promise<Id<"_storage">> {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": file.type },
    body: file,
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.message);
  return said.storageId;
}

export function MessageForm({ channel }: { channel: Doc<"channels"> }) {
  const imageUploadUrl = useMutation(api.messages.image_upload_url);
  const send = useMutation(api.messages.send);
  const [author, setAuthor] = useState("");
  const [body, setBody] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const image = useRef<HTMLInputElement>(null);

  async function submit(event: FormEvent) {
    event.preventDefault();
    const file = image.current?.files?.[0];
    if (body.trim() === "" && file === undefined) return;
    try {
      const stored = file === undefined ? null : await upload(await imageUploadUrl(), file);
      await send({ channel: channel._id, author, body, image: stored });
      setBody("");
      setProblem(null);
      if (image.current !== null) image.current.value = "";
    } catch (error) {
      // The text and the file stay, so that nothing has to be typed again.
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }

  return (
    <form className="message" onSubmit={(event) => void submit(event)}>
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
      <input ref={image} type="file" aria-label="Image" accept="image/*" />
      <button>Send</button>
      {problem !== null && <p role="alert">{problem}</p>}
    </form>
  );
}
