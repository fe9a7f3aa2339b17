import { useMutation, usePaginatedQuery, useQuery } from "convex/react";
import { useState } from "react";
import { Button, Text, TextInput, View } from "react-native";
import { api } from "../convex/_generated/api";
import type { Doc } from "../convex/_generated/dataModel";
import { styles } from "./styles";

const PAGE = 10;

export function Chat() {
  const channels = useQuery(api.channels.get);
  const create = useMutation(api.channels.create);
  const channel = channels?.[0];

  return (
    <View>
      <Text style={styles.heading}>Chat</Text>
      {channels?.length === 0 && (
        <Button title="Create #general" onPress={() => void create({ name: "general" })} />
      )}
      {channel !== undefined && <Messages key={channel._id} channel={channel} />}
    </View>
  );
}

function Messages({ channel }: { channel: Doc<"channels"> }) {
  const { results, status, loadMore } = usePaginatedQuery(
    api.messages.list,
    { channel: channel._id },
    { initialNumItems: PAGE },
  );
  const send = useMutation(api.messages.send);
  const [body, setBody] = useState("");

  async function submit() {
    if (body.trim() !== "") {
      setBody("");
      await send({ channel: channel._id, author: "Phone", body: body.trim() });
    }
  }

  return (
    <>
      <TextInput
        style={styles.input}
        accessibilityLabel="Message"
        placeholder={`Message #${channel.name}`}
        value={body}
        onChangeText={setBody}
        onSubmitEditing={() => void submit()}
      />
      {results.map((message) => (
        <View key={message._id} style={styles.row}>
          <Text style={styles.author}>{message.author}</Text>
          <Text testID="message" style={styles.text}>
            {message.body}
          </Text>
        </View>
      ))}
      {status === "CanLoadMore" && (
        <Button title="Older messages" onPress={() => loadMore(PAGE)} />
      )}
    </>
  );
}
