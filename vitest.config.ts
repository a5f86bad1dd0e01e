import { defineConfig } from "vitest/config";

/** A database takes a second or two to drop, and a file makes up to seventy of them where the server is given. */
const hookTimeout = 300_000;

const project = (name: string, testTimeout = 20_000) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout },
});

export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      project("unit"),
      project("store", 60_000),
      project("protocol", 60_000),
      project("acceptance", 60_000),
      project("identity", 60_000),
      project("process", 120_000),
      project("cluster", 300_000),
      {
        test: {
          ...project("interop", 60_000).test,
          // Compilers and clients' deadlines share the machine badly.
          fileParallelism: false,
          globalSetup: "test/interop/table.ts",
        },
      },
      project("browser", 60_000),
      { test: { ...project("package", 300_000).test, globalSetup: "test/package/pack.ts" } },
    ],
  },
});
