// Measures the server and writes what it found to bench/results: npm run bench [-- [ROUNDS SECONDS] [--suite NAME]… [--organizations N]]
import { parseArgs } from "node:util";
import { type Effort, watchEnvironment } from "./environment.ts";
import { cleanUp } from "./processes.ts";
import { publish, type Report } from "./report.ts";

/** Each loads with its turn, because some bring much that others do not need. */
const suites: Readonly<Record<string, (effort: Effort) => Promise<Report>>> = {
  start: async (effort) => (await import("./suites/start.ts")).measureStarts(effort),
  rpc: async (effort) => (await import("./suites/rpc.ts")).measureRpc(effort),
  writes: async (effort) => (await import("./suites/writes.ts")).measureWrites(effort),
  tokens: async (effort) => (await import("./suites/tokens.ts")).measureTokens(effort),
  transcoder: async (effort) => (await import("./suites/transcoder.ts")).measureTranscoder(effort),
  parts: async (effort) => (await import("./suites/parts.ts")).measureParts(effort),
  postgres: async (effort) => (await import("./suites/postgres.ts")).measurePostgres(effort),
  attacks: async (effort) => (await import("./suites/attacks.ts")).measureAttacks(effort),
  callers: async (effort) => (await import("./suites/attacks.ts")).measureBusyCallers(effort),
  cores: async (effort) => (await import("./suites/cores.ts")).measureCores(effort),
  history: async (effort) => (await import("./suites/history.ts")).measureHistory(effort),
  policies: async (effort) => (await import("./suites/policies.ts")).measurePolicies(effort),
  large: async (effort) => (await import("./suites/large.ts")).measureLarge(effort),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    suite: { type: "string", multiple: true, default: ["start", "rpc"] },
    organizations: { type: "string", default: "1000000" },
  },
});
const effort: Effort = {
  rounds: positive(positionals[0] ?? "15"),
  seconds: positive(positionals[1] ?? "2"),
  organizations: positive(values.organizations),
};
const wanted = values.suite.includes("all") ? Object.keys(suites) : values.suite;

// Ctrl-C and a kill clean up too: a store here holds an admin's token.
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    cleanUp();
    process.exit(1);
  });
}
try {
  for (const name of wanted) if (suites[name] === undefined) throw new Error(`there is no suite ${name}`);
  for (const name of wanted) {
    const describe = watchEnvironment(effort);
    const report = await suites[name]?.(effort);
    if (report !== undefined) publish(name, report, describe());
  }
} finally {
  cleanUp();
}

function positive(text: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`${text} is no number above 0: npm run bench -- ROUNDS SECONDS`);
  return number;
}
