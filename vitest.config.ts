import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** A hook may start servers, or build what is kept for later runs. */
const hookTimeout = 300_000;

const project = (name: string, testTimeout = 20_000) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout, hookTimeout },
});

/** One whose tests use databases: they share one PostgreSQL server. */
const withPostgres = (name: string, testTimeout: number, ...otherSetups: string[]) => {
  const { test } = project(name, testTimeout);
  return { test: { ...test, globalSetup: ["test/fixtures/shared-postgres.ts", ...otherSetups] } };
};

export default defineConfig({
  test: {
    reporters: ["default"],
    // Many tests wait for processes and time limits: one file more than there are processors keeps those busy.
    maxWorkers: availableParallelism() + 1,
    projects: [
      // Pure code: its files share a worker, so that what they import is loaded once.
      { test: { ...project("unit").test, isolate: false } },
      withPostgres("store", 60_000),
      withPostgres("protocol", 60_000),
      project("acceptance", 60_000),
      project("identity", 60_000),
      withPostgres("process", 120_000),
      withPostgres("cluster", 300_000, "test/cluster/porcupine.ts"),
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
