module.exports = {
  preset: "@react-native/jest-preset",
  testMatch: ["<rootDir>/tests/*.test.tsx"],
  // Expo brings its babel preset along; React Native's jest preset would look for another one.
  transform: {
    "^.+\\.(js|ts|tsx)$": ["babel-jest", { presets: [require.resolve("expo/internal/babel-preset")] }],
  },
  transformIgnorePatterns: ["node_modules/(?!(react-native|@react-native|expo)/)"],
};
