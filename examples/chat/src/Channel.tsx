import { useQuery } from "convex/react";
import { useState } from "react";
import { api } from "../convex/_generated/api";
import type { Doc } from "../convex/_generated/dataModel";
import { MessageForm } from "./MessageForm";
import { Messages } from "./Messages";

export function Channel({ channel }: { channel: Doc<"channels"> }) {
  const [words, setWords] = useState("");
  const searching = words.trim() !== "";
  const messages = useQuery(api.messages.newest, { channel: channel._id });
  const found = useQuery(
    api.messages.search,
    searching ? { channel: channel._id, words } : "skip",
  );

  return (
    <>
      <input
        type="search"
        aria-label="Search"
        placeholder={`Search #${channel.name}`}
        value={words}
        onChange={(event) => setWords(event.target.value)}
      />
      {searching && <Messages label="Found" messages={found} />}
      <Messages label="Messages" messages={messages} />
      <MessageForm channel={channel} />
    </>
  );
}
