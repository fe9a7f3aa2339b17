import { useMutation, useQuery } from "convex/react";
import { useState } from "react";
import { Pressable, Switch, Text, TextInput, View } from "react-native";
import { api } from "../convex/_generated/api";
import { styles } from "./styles";

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

  async function submit() {
    if (text.trim() !== "") {
      setText("");
      await add({ text: text.trim() });
    }
  }

  return (
    <View>
      <Text style={styles.heading}>Tasks</Text>
      {tasks === undefined && <Text style={styles.quiet}>Loading…</Text>}
      {tasks?.length === 0 && <Text style={styles.quiet}>Nothing to do.</Text>}
      {tasks?.map((task) => (
        <View key={task._id} style={styles.row}>
          <Switch
            accessibilityLabel={task.text}
            value={task.isCompleted}
            onValueChange={() => void toggle({ id: task._id })}
          />
          <Text style={task.isCompleted ? styles.done : styles.text}>{task.text}</Text>
          <Pressable
            accessibilityRole="button"
            accessibilityLabel={`Remove ${task.text}`}
            onPress={() => void remove({ id: task._id })}
          >
            <Text style={styles.quiet}>×</Text>
          </Pressable>
        </View>
      ))}
      <TextInput
        style={styles.input}
        accessibilityLabel="New task"
        placeholder="What is to be done?"
        value={text}
        onChangeText={setText}
        onSubmitEditing={() => void submit()}
      />
    </View>
  );
}
