import { ConvexProvider } from "convex/react";
import { ScrollView, View } from "react-native";
import { Chat } from "./Chat";
import { convex } from "./convex";
import { styles } from "./styles";
import { Tasks } from "./Tasks";

export function App() {
  return (
    <ConvexProvider client={convex}>
      <View style={styles.screen}>
        <ScrollView contentContainerStyle={styles.content} keyboardShouldPersistTaps="handled">
          <Tasks />
          <Chat />
        </ScrollView>
      </View>
    </ConvexProvider>
  );
}
