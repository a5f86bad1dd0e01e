import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { addCounter, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";

const limits = { statementTimeoutMs: 1500, connectTimeoutMs: 5000 };

// A server of one's own: the tests look at what all its sessions wait for.
const server = new OwnServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

async function open(postgres = limits): Promise<Store> {
  const store = await openStore({ location: server.url, postgres });
  onTestFinished(() => store.close());
  return store;
}

/** Takes a lock, until the result is called. */
async function hold(lock: string): Promise<() => Promise<unknown>> {
  const holder = new pg.Client(server.url);
  await holder.connect();
  onTestFinished(() => holder.end());
  await holder.query(`BEGIN; ${lock}`);
  return () => holder.query("ROLLBACK");
}

/** Resolves when this many sessions wait for a lock. */
async function untilBlocked(sessions: number): Promise<void> {
  const count = async () => {
    const { rows } = await query(server.url, "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    return rows.length;
  };
  await expect.poll(count, { interval: 10, timeout: limits.statementTimeoutMs }).toBe(sessions);
}

const read = (store: Store) => store.read([organizationRef("not in memory")]);
const write = (store: Store) => store.execute(countUp("a"));
const list = (store: Store) => store.list("organization");

describe("a lock that another session holds", () => {
  const row = "SELECT * FROM portcullis.head FOR UPDATE";
  const table = (name: string, mode: string) => `LOCK TABLE portcullis.${name} IN ${mode} MODE`;

  it.each([
    { calls: "writes", lock: "of the head's row", call: write, sql: row, first: 1 },
    { calls: "writes", lock: "of the head", call: write, sql: table("head", "ACCESS EXCLUSIVE"), first: 1 },
    // Such a write waits where it commits, when the next one has begun.
    { calls: "writes", lock: "against new events", call: write, sql: table("events", "SHARE"), first: 1 },
    { calls: "reads", lock: "of the head", call: read, sql: table("head", "ACCESS EXCLUSIVE"), first: 1 },
    { calls: "reads", lock: "of the states", call: read, sql: table("aggregates", "ACCESS EXCLUSIVE"), first: 1 },
    // Each takes a connection, of which there are four.
    { calls: "lists", lock: "of the states", call: list, sql: table("aggregates", "ACCESS EXCLUSIVE"), first: 3 },
  ])("$lock keeps no $calls waiting for longer than the first", async ({ call, sql, first }) => {
    await query(server.url, "DROP SCHEMA IF EXISTS portcullis CASCADE");
    const store = await open();
    await store.execute(addCounter("a"));
    const letGo = await hold(sql);
    const refused = async () => {
      const message = await expectStoreError(call(store), "unavailable");
      expect(message).toContain("did not answer in time");
      return performance.now();
    };
    const firsts = Array.from({ length: first }, refused);
    await untilBlocked(first);
    const behind = Array.from({ length: 8 }, refused);
    const answered = await Promise.all(firsts);
    const last = Math.max(...(await Promise.all(behind)));
    expect(last - Math.max(...answered)).toBeLessThan(limits.statementTimeoutMs / 2);

    await letGo();
    expect((await write(store)).value).toBe(1);
    expect(await list(store)).toHaveLength(1);
    expect(readCount((await store.read([organizationRef("a")])).get(organizationRef("a")))).toBe(1);
  });

  it("is not waited for in full by a node that waited for another node before", async () => {
    await query(server.url, "DROP SCHEMA IF EXISTS portcullis CASCADE");
    const longer = { ...limits, statementTimeoutMs: 3000 };
    const nodes = [await open(longer), await open(longer)];
    await nodes[0]?.execute(addCounter("a"));
    await hold(table("events", "SHARE"));
    const answers = nodes.map(async (store, index) => {
      await untilBlocked(index);
      const started = performance.now();
      await expectStoreError(write(store), "unavailable");
      return performance.now() - started;
    });
    // The second node gets the head's lock when the first gives up, and then waits for the table.
    expect(Math.max(...(await Promise.all(answers)))).toBeLessThan(1.6 * longer.statementTimeoutMs);
  });
});
