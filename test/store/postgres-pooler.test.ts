import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { freePort, OwnServer, query, untilLogged } from "../fixtures/postgres.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { missingProgram } from "../interop/run.ts";
import { addCounter, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { collect, given } from "./fixtures/iterables.ts";

const server = new OwnServer();
const settings = "ignore_startup_parameters = statement_timeout,idle_in_transaction_session_timeout";

/** Starts one before the server, and resolves to the URL of a new database through it. */
async function startPooler(mode: string, setting = settings): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-pgbouncer-"));
  chmodSync(directory, 0o755);
  const port = await freePort();
  const file = join(directory, "pgbouncer.ini");
  const { hostname, port: serverPort } = new URL(server.url);
  writeFileSync(
    file,
    `[databases]
    * = host=${hostname} port=${serverPort} user=postgres
    [pgbouncer]
    listen_addr = 127.0.0.1
    listen_port = ${port}
    unix_socket_dir =
    auth_type = any
    pool_mode = ${mode}
    default_pool_size = ${mode === "session" ? 12 : 2}
    ${setting}`,
  );
  const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const pooler = spawn("pgbouncer", [file], {
    ...user,
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(async () => {
    const ended = new Promise((resolve) => pooler.once("exit", resolve));
    if (pooler.kill("SIGKILL")) await ended;
    rmSync(directory, { recursive: true });
  });
  await untilLogged(pooler, "process up");
  const name = `pooled_${port}`;
  await query(server.url, `CREATE DATABASE ${name}`);
  return `postgres://postgres@127.0.0.1:${port}/${name}`;
}

async function open(location: string, statementTimeoutMs = 5000): Promise<Store> {
  const store = await openStore({ location, postgres: { statementTimeoutMs } });
  onTestFinished(() => store.close());
  return store;
}

describe.skipIf(isLeftOut(missingProgram("pgbouncer")))("behind PgBouncer", () => {
  beforeAll(() => server.start());
  afterAll(() => server.stop());

  describe.each(["transaction", "session"])("in its mode %s", (mode) => {
    it("several nodes write, read, and work on the whole history", async () => {
      const location = await startPooler(mode);
      const stores = [await open(location), await open(location)];
      const ref = organizationRef("a");
      await stores[0]?.execute(addCounter("a"));
      const outcomes = await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const store = stores[index % 2] as Store;
          const { value } = await store.execute(countUp("a"));
          expect(readCount((await store.read([ref])).get(ref))).toBeGreaterThanOrEqual(value);
          return value;
        }),
      );
      expect(new Set(outcomes).size).toBe(40);
      const store = await open(location);
      expect(await store.rebuild()).toEqual({ events: 42, aggregates: 1 });
      expect(await store.verify()).toEqual({ problems: [], events: 42, aggregates: 1 });
      const events = await store.export((history) => collect(history.events()));
      expect(events).toHaveLength(42);
      await query(server.url, `CREATE DATABASE ${new URL(location).pathname.slice(1)}_copy`);
      const copy = await open(`${location}_copy`);
      await copy.import(given(events), async () => {});
      expect(await copy.verify()).toMatchObject({ problems: [], events: 42 });
    });

    it("a node that stops in the middle of a write loses its lock", async () => {
      const location = await startPooler(mode);
      await (await open(location)).execute(addCounter("a"));
      // Its first write is decided in a transaction.
      const store = await open(location, 300);
      const command = countUp("a");
      let decisions = 0;
      const slow = {
        ...command,
        decide(view: Parameters<typeof command.decide>[0]) {
          decisions += 1;
          for (const until = performance.now() + 1000; decisions === 1 && performance.now() < until; );
          return command.decide(view);
        },
      };
      expect(await store.execute(slow)).toMatchObject({ value: 1 });
      // The first was of a transaction that the server had ended.
      expect(decisions).toBe(2);
    });
  });

  it("that refuses a parameter, its own words are told", async () => {
    const location = await startPooler("transaction", "");
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toContain("refuses the connection: unsupported startup parameter: statement_timeout");
  });
});
