import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { evolve, uniqueKeysOf } from "../../src/domain/evolve.ts";
import { upcast } from "../../src/domain/upcast.ts";
import { openStore } from "../../src/store/open.ts";
import { CommittedMoment } from "../../src/store/postgres/committed.ts";
import { Database } from "../../src/store/postgres/database.ts";
import { parsePostgresUrl } from "../../src/store/postgres/location.ts";
import { type Decided, PostgresTransactions } from "../../src/store/postgres/transactions.ts";
import { LostCommit } from "../../src/store/shared/commit-queue.ts";
import { toRows } from "../../src/store/shared/written-rows.ts";
import { type Command, organizationRef, type Store } from "../../src/store/store.ts";
import { type Cut, CuttingProxy } from "../cluster/cutting-proxy.ts";
import { type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, addOrganization, countUp, readCount } from "./fixtures/commands.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const projection = { evolve, uniqueKeysOf, upcast };
const ref = organizationRef("a");
const readCountOf = async (store: Store): Promise<number> => readCount((await store.read([ref])).get(ref));

async function open(location: string): Promise<Store> {
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  return store;
}

/** A command that calls back with each decision. */
function watched<T>(command: Command<T>, onDecision: (decisions: number) => void): Command<T> {
  let decisions = 0;
  return {
    ...command,
    decide(view) {
      decisions += 1;
      onDecision(decisions);
      return command.decide(view);
    },
  };
}

describe("a write whose reads are in memory", () => {
  it("is decided before it has the lock, and again where another node wrote meanwhile", async () => {
    const location = await postgres.createDatabase();
    const [store, other] = [await open(location), await open(location)];
    await store.execute(addCounter("a"));
    expect(await readCountOf(other)).toBe(0);
    const holder = new pg.Client(location);
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query("BEGIN; SELECT * FROM portcullis.head FOR UPDATE");
    let decisions = 0;
    const decided = Promise.withResolvers<void>();
    const counting = store.execute(
      watched(countUp("a"), (count) => {
        decisions = count;
        decided.resolve();
      }),
    );
    await decided.promise;
    // What another node would write.
    await holder.query(`UPDATE portcullis.head SET commits = commits + 1; COMMIT`);
    expect(await counting).toMatchObject({ value: 1 });
    expect(decisions).toBe(2);
    expect(await other.execute(countUp("a"))).toMatchObject({ value: 2 });
    expect(await store.verify()).toMatchObject({ problems: [], events: 4 });
  });

  it("that is refused rests on what is committed", async () => {
    const location = await postgres.createDatabase();
    const [store, other] = [await open(location), await open(location)];
    await store.execute(addCounter("a"));
    await store.execute(countUp("a"));
    await other.execute(countUp("a"));
    const refuse: Command<void> = {
      actor: "test",
      reads: [ref],
      decide(view) {
        throw new Error(`the count is ${readCount(view.get(ref))}`);
      },
    };
    await expect(store.execute(refuse)).rejects.toThrow("the count is 2");
    await expect(store.execute(refuse)).rejects.toThrow("the count is 2");
  });

  it("is not carried out after it was looked for in vain", async () => {
    await using proxy = await CuttingProxy.start(await postgres.createDatabase());
    const store = await open(proxy.url);
    await store.execute(addCounter("a"));
    const held = proxy.holdNext();
    // Decided again, it writes nothing.
    const command = watched(countUp("a"), (decisions) => {
      if (decisions > 1) throw new Error("no more");
    });
    const counting = expect(store.execute(command)).rejects.toThrow("no more");
    const passOn = await held;
    await counting;
    await passOn();
    expect(await readCountOf(store)).toBe(0);
    expect(await store.verify()).toMatchObject({ problems: [], events: 2 });
  });
});

it("commands whose commit was lost with the connection share the next one", async () => {
  const location = await postgres.createDatabase();
  await using proxy = await CuttingProxy.start(location);
  const store = await open(proxy.url);
  await store.execute(addCounter("a"));
  const countCommits = async () =>
    Number((await query(location, "SELECT commits FROM portcullis.head")).rows[0].commits);
  const before = await countCommits();
  const isCut = proxy.cutNext("before COMMIT");
  const counts = await Promise.all(Array.from({ length: 64 }, () => store.execute(countUp("a"))));
  await isCut;
  expect(new Set(counts.map(({ value }) => value)).size).toBe(64);
  // The searches for what was lost count as well.
  expect((await countCommits()) - before).toBeLessThan(10);
});

describe("two commits on one connection that is cut", () => {
  async function start(location: string) {
    await (await open(location)).execute(addCounter("a"));
    await using stack = new AsyncDisposableStack();
    const proxy = stack.use(await CuttingProxy.start(location));
    const settings = { poolSize: 4, statementTimeoutMs: 5000, connectTimeoutMs: 5000 };
    const database = stack.adopt(new Database(parsePostgresUrl(proxy.url), settings), (one) => one.close());
    const committed = new CommittedMoment({ name: database.name, projection });
    const options = { database, committed, projection, clock: Date.now, outcomeTimeoutMs: 10_000 };
    const transactions = stack.adopt(new PostgresTransactions(options), (one) => one.close());
    const onFinish = stack.move();
    onTestFinished(() => onFinish.disposeAsync());
    await transactions.begin();
    const first = await transactions.decide([countUp("a")]);
    await transactions.commit(toRows(first.writes));
    return { proxy, transactions };
  }

  it.each<Cut>(["before COMMIT", "after COMMIT"])("%s of the first, are both found out about", async (cut) => {
    const location = await postgres.createDatabase();
    const { proxy, transactions } = await start(location);
    const decide = (onItsWay: Decided | undefined) => transactions.decideAhead([countUp("a")], onItsWay) as Decided;
    const first = decide(undefined);
    const second = decide(first);
    expect(second.endings).toMatchObject([{ result: { value: 3 } }]);
    const isCut = proxy.cutNext(cut);
    const outcomes = await Promise.allSettled(
      [first, second].map((decided) => transactions.commitAhead(decided, toRows(decided.writes))),
    );
    await isCut;
    const found = outcomes.map(async (outcome) => {
      if (outcome.status !== "rejected" || !(outcome.reason instanceof LostCommit)) throw new Error("it is not lost");
      return outcome.reason.outcome.then(
        () => true,
        (error: { code: string }) => error.code !== "conflict",
      );
    });
    const [isFirst, isSecond] = await Promise.all(found);
    // After its COMMIT, the first may still come too late for the search, and then never comes.
    if (cut === "before COMMIT") expect(isFirst).toBe(false);
    const store = await open(location);
    expect(await readCountOf(store)).toBe(1 + Number(isFirst) + Number(isSecond));
    expect(await store.verify()).toMatchObject({ problems: [] });
  });

  it("are written in turn where it is not", async () => {
    const location = await postgres.createDatabase();
    const { transactions } = await start(location);
    const first = transactions.decideAhead([countUp("a")], undefined) as Decided;
    const second = transactions.decideAhead([countUp("a")], first) as Decided;
    const late = transactions.decideAhead([countUp("a")], undefined) as Decided;
    const commit = (decided: Decided) => transactions.commitAhead(decided, toRows(decided.writes));
    expect(await Promise.all([commit(first), commit(second)])).toEqual([true, true]);
    expect(await commit(late)).toBe(false);
    expect(await readCountOf(await open(location))).toBe(3);
  });
});

describe("what is in memory", () => {
  /** Damages a row, as no node does: those who read it again see that. */
  const damage = (location: string, id: string) =>
    query(location, `UPDATE portcullis.aggregates SET digest = 'x' WHERE id = '${id}'`);
  const record = { record: "test", id: "r" };
  const putRecord = (value: string): Command<void> => ({
    actor: "test",
    reads: [],
    decide: () => ({ changes: [], records: [{ ref: record, to: { value } }], value: undefined }),
  });
  const readAll = (store: Store) => store.read([ref, organizationRef("b"), record]);

  it.each(["its own node", "another node"])("stays there when %s changes something else", async (by) => {
    const location = await postgres.createDatabase();
    const [store, other] = [await open(location), await open(location)];
    const writer = by === "its own node" ? store : other;
    await writer.execute(addCounter("a"));
    await writer.execute(addOrganization("b"));
    await writer.execute(putRecord("first"));
    await readAll(store);
    await damage(location, "b");
    await query(location, "UPDATE portcullis.records SET value = '\"damaged\"'");
    await writer.execute(countUp("a"));
    expect(await readCountOf(store)).toBe(1);
    const view = await readAll(store);
    expect(view.get(organizationRef("b")).state).toMatchObject({ name: "b" });
    expect(view.record(record)?.value).toBe("first");
    await writer.execute(putRecord("second"));
    expect((await store.read([record])).record(record)?.value).toBe("second");
    // Whoever has not read it finds the damage.
    await expect((await open(location)).read([organizationRef("b")])).rejects.toThrow("damaged");
  });
});
