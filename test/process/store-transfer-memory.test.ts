import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { fillStore } from "./database.ts";
import { runCommand, TemporaryDirectory } from "./portcullis.ts";

let directory: TemporaryDirectory;
let postgres: Postgres;
beforeAll(async () => {
  directory = new TemporaryDirectory();
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
  directory[Symbol.dispose]();
});

const organizations = 50_000;
/** Too little for so many organizations at once: a command that keeps them all ends for want of memory. */
const smallHeap = { NODE_OPTIONS: "--max-old-space-size=64 --max-semi-space-size=16" };

describe.each([
  ["sqlite", async (name: string) => `sqlite:${directory.join(name)}`],
  ["postgres", () => postgres.createDatabase()],
])("store export, import, verify and rebuild on %s", (engine, makeLocation) => {
  it("keep no more in memory of a long history than of a short one, and show how far they are", {
    timeout: 300_000,
  }, async () => {
    const [from, to] = [await makeLocation("from.db"), await makeLocation("to.db")];
    await fillStore(from, organizations);
    const file = directory.join(`${engine}.jsonl`);
    const run = (...args: string[]) => runCommand(["store", ...args], { env: smallHeap, timeoutMs: 120_000 });
    const done = { exitCode: 0, stderr: "100000 events\n" };
    expect(await run("export", file, "--store", from)).toMatchObject(done);
    expect(await run("import", file, "--store", to)).toMatchObject(done);
    const sound = `the store is sound: ${2 * organizations} events, ${organizations} aggregates\n`;
    expect(await run("verify", "--store", to)).toMatchObject({ exitCode: 0, stderr: "", stdout: sound });
    const rebuilt = `rebuilt ${organizations} aggregates from ${2 * organizations} events\n`;
    expect(await run("rebuild", "--store", to)).toMatchObject({ exitCode: 0, stderr: "", stdout: rebuilt });
  });
});
