import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { DatabaseSync } from "node:sqlite";
import type { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { organizationRef, type StoreRecord } from "../../src/store/store.ts";
import { addCounter, addOrganization, countUp, readCount } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { makePath, openAt } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

const counter = organizationRef("counter");

describe("two processes on one file", () => {
  it("lose no update with 64 writers each, and let each other write", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("counter"));
    const scripts = [0, 1].map(() => runScript("writer-process.ts", [`sqlite:${path}`, "counter", "64", "8"]));
    for (const script of scripts) await script.printed(1);
    for (const script of scripts) script.go();
    // This process reads all the while, and never sees the past.
    let last = 0;
    let running = true;
    const ended = Promise.all(scripts.map((script) => script.ended())).finally(() => {
      running = false;
    });
    while (running) {
      const count = readCount((await store.read([counter])).get(counter));
      expect(count).toBeGreaterThanOrEqual(last);
      last = count;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    const counts = scripts.flatMap(({ lines }) => lines.slice(1).map(Number)).sort((a, b) => a - b);
    expect(counts).toEqual(Array.from({ length: 1024 }, (_, index) => index + 1));
    expect((await store.read([counter])).get(counter).version).toBe(1026);
    expect(await store.verify()).toMatchObject({ problems: [], events: 1026 });
  });

  it("show each other's writes at once", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("counter"));
    const script = runScript("writer-process.ts", [`sqlite:${path}`, "counter", "1", "50"]);
    script.go();
    for (let printed = 2; printed <= 51; printed++) {
      await script.printed(printed);
      const acknowledged = Number(script.lines.at(-1));
      expect(readCount((await store.read([counter])).get(counter))).toBeGreaterThanOrEqual(acknowledged);
    }
    await script.ended();
  });

  it("show at once which records one of an older version, or an operator, changed by hand", async () => {
    const path = makePath();
    const store = await openAt(path);
    const ref = { record: "code", id: "c" };
    const change = (to: StoreRecord | undefined) =>
      store.execute({
        actor: "test",
        reads: [ref],
        decide: (view) => ({ changes: [], records: [{ ref, to }], value: view.record(ref)?.value }),
      });
    using other = new DatabaseSync(path, { timeout: 5000 });
    const byHand: readonly (readonly [sql: string, value: unknown])[] = [
      ["DELETE FROM records", undefined],
      ["INSERT OR REPLACE INTO records VALUES ('code', 'c', '2', NULL)", 2],
      ["UPDATE records SET value = '3'", 3],
    ];
    for (const [sql, value] of byHand) {
      await change({ value: 1 });
      expect((await store.read([ref])).record(ref)?.value).toBe(1);
      other.exec(sql);
      expect((await store.read([ref])).record(ref)?.value).toBe(value);
      await change({ value: 1 });
      other.exec(sql);
      // The writer compares, also where nothing was read since.
      expect((await change({ value: 4 })).value).toBe(value);
    }
  });
});

describe("a file that another process keeps busy", () => {
  it("goes on answering reads, and writes once the other is done", async () => {
    const path = makePath();
    const store = await openAt(path, { busyTimeoutMs: 60_000 });
    await store.execute(addCounter("counter"));
    const lock = runScript("lock-process.ts", [path]);
    await lock.printed(1);
    const order: string[] = [];
    const writing = store.execute(countUp("counter")).then(({ value }) => order.push(`counted ${value}`));
    // Were a read or the event loop to wait for the lock, this would never end: only what follows it lets go.
    for (let read = 0; read < 300; read++) {
      expect(readCount((await store.read([counter])).get(counter))).toBe(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    order.push("read");
    lock.go();
    await Promise.all([writing, lock.ended()]);
    expect(order).toEqual(["read", "counted 1"]);
  });

  it("returns unavailable when the other does not let go in time, and writes later", async () => {
    const path = makePath();
    const store = await openAt(path, { busyTimeoutMs: 150 });
    await store.execute(addCounter("counter"));
    const lock = runScript("lock-process.ts", [path]);
    await lock.printed(1);
    let ticks = 0;
    let waiting = true;
    const refused = expectStoreError(store.execute(countUp("counter")), "unavailable").finally(() => {
      waiting = false;
    });
    while (waiting) {
      await new Promise((resolve) => setImmediate(resolve));
      ticks += 1;
    }
    expect(await refused).toBe(`The store ${path} is busy: another process holds its write lock and does not let go.`);
    expect(ticks).toBeGreaterThan(20);
    lock.go();
    await lock.ended();
    expect((await store.execute(countUp("counter"))).value).toBe(1);
  });

  it("keeps no one waiting for longer than the first", async () => {
    const path = makePath();
    const busyTimeoutMs = 1000;
    const store = await openAt(path, { busyTimeoutMs });
    await store.execute(addCounter("counter"));
    using lock = new DatabaseSync(path);
    lock.exec("BEGIN IMMEDIATE");
    const refused = async () => {
      await expectStoreError(store.execute(countUp("counter")), "unavailable");
      return performance.now();
    };
    const first = refused();
    await store.read([counter]);
    const behind = await Promise.all(Array.from({ length: 8 }, refused));
    expect(Math.max(...behind) - (await first)).toBeLessThan(busyTimeoutMs / 2);
  });

  it("can be opened and read", async () => {
    const path = makePath();
    await (await openAt(path)).execute(addCounter("counter"));
    const lock = runScript("lock-process.ts", [path]);
    await lock.printed(1);
    const other = await openAt(path);
    expect((await other.read([counter])).get(counter).version).toBe(2);
    lock.go();
    await lock.ended();
  });
});

describe("the writer thread", () => {
  it("leaves it open whether pending commands were written when it dies, and the next one starts another", async () => {
    const path = makePath();
    const threads: Worker[] = [];
    const watch = (thread: Worker): number => threads.push(thread);
    process.on("worker", watch);
    try {
      const store = await openAt(path, { busyTimeoutMs: 60_000 });
      await store.execute(addCounter("counter"));
      using lock = new DatabaseSync(path);
      lock.exec("BEGIN IMMEDIATE");
      const pending = [1, 2, 3].map(() => expectStoreError(store.execute(countUp("counter")), "outcome_unknown"));
      await threads[0]?.terminate();
      for (const message of await Promise.all(pending)) expect(message).toContain("ended unexpectedly");
      lock.exec("ROLLBACK");
      expect((await store.execute(countUp("counter"))).value).toBe(1);
      expect(threads).toHaveLength(2);
      expect(await store.verify()).toMatchObject({ problems: [], events: 3 });
    } finally {
      process.off("worker", watch);
    }
  });

  it("lets go of the lock when it dies in the middle of a transaction", async () => {
    const path = makePath();
    const threads: Worker[] = [];
    const watch = (thread: Worker): number => threads.push(thread);
    process.on("worker", watch);
    try {
      const store = await openAt(path);
      await store.execute(addCounter("counter"));
      const decided = store.execute({
        actor: "test",
        reads: [],
        decide() {
          // The transaction has begun: this runs inside it.
          void threads[0]?.terminate();
          return { changes: [], value: undefined };
        },
      });
      await expectStoreError(decided, "unavailable");
      expect((await store.execute(countUp("counter"))).value).toBe(1);
    } finally {
      process.off("worker", watch);
    }
  });

  it("says of a change that it committed just then that nobody knows whether it is written", async () => {
    const threads: Worker[] = [];
    const watch = (thread: Worker): number => threads.push(thread);
    process.on("worker", watch);
    try {
      const store = await openAt(makePath());
      await store.execute(addCounter("counter"));
      const { decide, ...command } = countUp("counter");
      const decided = store.execute({
        ...command,
        decide(view) {
          void threads[0]?.terminate();
          return decide(view);
        },
      });
      await expectStoreError(decided, "outcome_unknown");
      expect((await store.execute(countUp("counter"))).value).toBeGreaterThan(0);
      expect(await store.verify()).toMatchObject({ problems: [] });
    } finally {
      process.off("worker", watch);
    }
  });

  it("starts with the first write and ends with the store", async () => {
    const threads: Worker[] = [];
    const watch = (thread: Worker): number => threads.push(thread);
    process.on("worker", watch);
    try {
      const store = await openAt(makePath());
      await store.read([counter]);
      expect(threads).toEqual([]);
      await store.execute(addOrganization("a"));
      const ended = threads.map((thread) => once(thread, "exit"));
      expect(ended).toHaveLength(1);
      await Promise.all([store.close(), ...ended]);
    } finally {
      process.off("worker", watch);
    }
  });

  it("keeps no process alive that has nothing to wait for", () => {
    const source = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const program = `
      const { openStore } = await import(${source("../../src/store/open.ts")});
      const { addOrganization } = await import(${source("./fixtures/commands.ts")});
      const store = await openStore({ location: ${JSON.stringify(`sqlite:${makePath()}`)} });
      console.log((await store.execute(addOrganization("a"))).value);`;
    const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
    expect([status, stdout.toString()]).toEqual([0, "a\n"]);
  });
});
