import { expect, it } from "vitest";
import { createLog } from "../../../src/process/log.ts";

it("has one line for each entry also for people, but for the stack of an error", async () => {
  const entries: string[] = [];
  const output = {
    write: (entry: string) => void entries.push(entry),
    onLost: () => {},
    lost: { full: 0, failed: 0 },
    flush: async () => {},
    flushSync: () => {},
  };
  const log = await createLog({ level: "info", format: "text" }, output);
  log.info({ url: "http://127.0.0.1:1", settings: { "--cors-origin": ["https://a", "https://b"] } }, "serving");
  log.error({ requestId: "an-id", err: new Error("a bug") }, "call failed");
  expect(entries[0]).toMatch(/ serving .*127\.0\.0\.1.*--cors-origin.*https:\/\/b.*\n$/);
  expect(entries[0]?.trimEnd()).not.toContain("\n");
  expect(entries[1]).toMatch(/ call failed .*an-id.*\n.*a bug.*\n +at /s);
});
