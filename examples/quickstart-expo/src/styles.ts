import { StyleSheet } from "react-native";

export const styles = StyleSheet.create({
  screen: { flex: 1, paddingTop: 56, backgroundColor: "#f6f6f9" },
  content: { padding: 16, gap: 12 },
  heading: { fontSize: 22, fontWeight: "600" },
  row: { flexDirection: "row", alignItems: "center", gap: 12, paddingVertical: 8 },
  text: { flex: 1, fontSize: 16 },
  done: { flex: 1, fontSize: 16, color: "#71717a", textDecorationLine: "line-through" },
  quiet: { color: "#71717a" },
  author: { fontWeight: "600" },
  input: {
    borderWidth: 1,
    borderColor: "#d4d4dc",
    borderRadius: 9,
    padding: 10,
    fontSize: 16,
    backgroundColor: "#ffffff",
  },
});
