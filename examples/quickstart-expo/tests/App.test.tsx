// The whole app under React Native's jest preset, against the server at EXPO_PUBLIC_CONVEX_URL.

import { act, render, screen, userEvent, waitFor } from "@testing-library/react-native";
import { ConvexHttpClient } from "convex/browser";
import { api } from "../convex/_generated/api";
import { App } from "../src/App";
import { convex } from "../src/convex";

const other = new ConvexHttpClient(process.env.EXPO_PUBLIC_CONVEX_URL!);
const PATIENCE = { timeout: 10_000 };

afterAll(() => convex.close());

function switches() {
  return screen.queryAllByRole("switch").map((each) => [each.props.accessibilityLabel, each.props.value]);
}

function bodies() {
  return screen.queryAllByTestId("message").map((each) => each.props.children);
}

jest.setTimeout(40_000);

test("tasks of everybody show, and change at a touch", async () => {
  const user = userEvent.setup();
  await render(<App />);
  await screen.findByText("Nothing to do.", {}, PATIENCE);

  await act(() => other.mutation(api.tasks.add, { text: "Feed the cat" }));
  await screen.findByText("Feed the cat", {}, PATIENCE);

  const input = screen.getByLabelText("New task");
  await user.type(input, "Walk the dog", { submitEditing: true });
  await screen.findByText("Walk the dog", {}, PATIENCE);
  expect(switches()).toEqual([["Feed the cat", false], ["Walk the dog", false]]);

  await act(async () => screen.getByLabelText("Walk the dog").props.onChange({ nativeEvent: { value: true } }));
  // The optimistic update shows before the server has answered, and its answer agrees.
  expect(switches()).toEqual([["Feed the cat", false], ["Walk the dog", true]]);
  await waitFor(async () => {
    const tasks = await other.query(api.tasks.get);
    expect(tasks.map((task) => task.isCompleted)).toEqual([false, true]);
  }, PATIENCE);

  await user.press(screen.getByLabelText("Remove Feed the cat"));
  await waitFor(() => expect(switches()).toEqual([["Walk the dog", true]]), PATIENCE);
});

test("messages come page by page, and new ones on top", async () => {
  const channel = await other.mutation(api.channels.create, { name: "general" });
  const notes = Array.from({ length: 12 }, (_, i) => `note ${i}`);
  for (const body of notes) {
    await other.mutation(api.messages.send, { channel, author: "Bot", body });
  }
  const newestFirst = notes.toReversed();
  const user = userEvent.setup();
  await render(<App />);
  await waitFor(() => expect(bodies()).toEqual(newestFirst.slice(0, 10)), PATIENCE);

  await user.press(screen.getByText("Older messages"));
  await waitFor(() => expect(bodies()).toEqual(newestFirst), PATIENCE);

  await user.type(screen.getByLabelText("Message"), "hello", { submitEditing: true });
  await waitFor(() => expect(bodies()).toEqual(["hello", ...newestFirst]), PATIENCE);
});
