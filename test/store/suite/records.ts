import { describe, expect } from "vitest";
import type { Command, RecordRef, Store, StoreRecord } from "../../../src/store/store.ts";
import { addOrganization } from "../fixtures/commands.ts";
import type { Must } from "./must.ts";

const code = (id: string): RecordRef => ({ record: "code", id });

const put = (ref: RecordRef, to: StoreRecord | undefined): Command<undefined> => ({
  actor: "test",
  reads: [],
  decide: () => ({ changes: [], records: [{ ref, to }], value: undefined }),
});

/** Whether this call was the first to take the record. */
const take = (ref: RecordRef): Command<boolean> => ({
  actor: "test",
  reads: [ref],
  decide(view) {
    const isThere = view.record(ref) !== undefined;
    return { changes: [], records: isThere ? [{ ref, to: undefined }] : [], value: isThere };
  },
});

const read = async (store: Store, ref: RecordRef) => (await store.read([ref])).record(ref);

/** What store.ts promises of records. */
export function defineRecordTests(must: Must): void {
  describe("records", () => {
    must("keeps the last value put, by its kind and its own letter case", async ({ store }) => {
      await store.execute(put(code("a"), { value: { n: [1, null, "ü"] }, expiresAt: 2_000_000 }));
      await store.execute(put(code("A"), { value: "other" }));
      await store.execute(put({ record: "session", id: "a" }, { value: 7 }));
      expect(await read(store, code("a"))).toEqual({ value: { n: [1, null, "ü"] }, expiresAt: 2_000_000 });
      await store.execute(put(code("a"), { value: "second" }));
      expect(await read(store, code("a"))).toEqual({ value: "second" });
      expect(await read(store, code("A"))).toEqual({ value: "other" });
      expect(await read(store, { record: "session", id: "a" })).toEqual({ value: 7 });
    });

    must("forgets a removed record, and one that never was is undefined", async ({ store }) => {
      await store.execute(put(code("a"), { value: 1 }));
      await store.execute(put(code("a"), undefined));
      expect(await read(store, code("a"))).toBeUndefined();
      expect(await read(store, code("never"))).toBeUndefined();
    });

    must("shows only records that were among the reads", async ({ store }) => {
      const view = await store.read([code("a")]);
      expect(() => view.record(code("b"))).toThrow("a record of kind code is not among the reads");
    });

    must("rejects only the command whose record is no JSON", async ({ store }) => {
      const circle: { self?: object } = {};
      circle.self = circle;
      for (const [round, value] of [1n, circle, undefined].entries()) {
        const settled = await Promise.allSettled([
          store.execute(put(code(`before ${round}`), { value: 1 })),
          store.execute(put(code("bad"), { value })),
          store.execute(put(code(`after ${round}`), { value: 2 })),
        ]);
        expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({
          message: expect.stringMatching("no JSON"),
        });
        expect(await read(store, code("bad"))).toBeUndefined();
        expect(await read(store, code(`after ${round}`))).toEqual({ value: 2 });
      }
    });

    must("writes records with the events of the same command, or neither", async ({ store }) => {
      const refusal = new Error("no");
      const refused: Command<never> = {
        actor: "test",
        reads: [],
        decide() {
          throw refusal;
        },
      };
      const both: Command<undefined> = {
        ...addOrganization("a"),
        decide: (view) => ({
          ...addOrganization("a").decide(view),
          records: [{ ref: code("a"), to: { value: 1 } }],
          value: undefined,
        }),
      };
      await Promise.allSettled([store.execute(refused), store.execute(both), store.execute(both)]);
      expect((await store.read([])).position).toBe(1);
      expect(await read(store, code("a"))).toEqual({ value: 1 });
    });

    must("adds no event and moves no position for a record alone", async ({ store }) => {
      const { events } = await store.execute(put(code("a"), { value: 1 }));
      expect(events).toEqual([]);
      expect((await store.read([])).position).toBe(0);
    });

    must("lets exactly one of many callers take a record", async ({ store, reopen }) => {
      await store.execute(put(code("a"), { value: 1 }));
      const other = await reopen();
      const takers = Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? store : other).execute(take(code("a"))),
      );
      const taken = (await Promise.all(takers)).filter(({ value }) => value);
      expect(taken).toHaveLength(1);
    });

    must("keeps records when it is reopened and when the projection is rebuilt", async ({ store, reopen }) => {
      await store.execute(put(code("a"), { value: 1 }));
      await store.rebuild();
      expect(await read(store, code("a"))).toEqual({ value: 1 });
      await store.close();
      expect(await read(await reopen(), code("a"))).toEqual({ value: 1 });
    });

    must("removes all records at once, and nothing else", async ({ store }) => {
      await store.execute(addOrganization("a"));
      await store.execute(put(code("a"), { value: 1 }));
      await store.execute(put({ record: "session", id: "b" }, { value: 2, expiresAt: 9_000_000 }));
      await store.removeRecords();
      expect(await read(store, code("a"))).toBeUndefined();
      expect(await read(store, { record: "session", id: "b" })).toBeUndefined();
      expect((await store.execute(take(code("a")))).value).toBe(false);
      expect((await store.read([])).position).toBe(1);
      await store.execute(put(code("a"), { value: 3 }));
      expect(await read(store, code("a"))).toEqual({ value: 3 });
    });

    must("shows at once that another writer has removed all records", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(put(code("a"), { value: 1 }));
      await other.execute(put(code("b"), { value: 2 }));
      // Both now have it in memory.
      for (const each of [store, other]) expect(await read(each, code("a"))).toEqual({ value: 1 });
      await store.removeRecords();
      expect(await read(other, code("a"))).toBeUndefined();
      for (const each of [other, store]) expect((await each.execute(take(code("b")))).value).toBe(false);
    });

    must("removes records some time after they ended, and no others", async ({ store, reopen, setClock }) => {
      setClock(1_000);
      for (let n = 0; n < 10; n += 1) await store.execute(put(code(`old ${n}`), { value: n, expiresAt: 2_000 }));
      await store.execute(put(code("later"), { value: 1, expiresAt: 9_000 }));
      await store.execute(put(code("endless"), { value: 1 }));
      setClock(2_000);
      for (let n = 0; n < 10; n += 1) await store.execute(put(code(`new ${n}`), { value: n }));
      // Another store on the same place: what this one read before may still be in its memory.
      const other = await reopen();
      for (let n = 0; n < 10; n += 1) expect(await read(other, code(`old ${n}`))).toBeUndefined();
      expect(await read(other, code("later"))).toEqual({ value: 1, expiresAt: 9_000 });
      expect(await read(other, code("endless"))).toEqual({ value: 1 });
    });

    must("refuses an id that is not well-formed Unicode", async ({ store }) => {
      await expect(store.execute(put(code("\ud800"), { value: 1 }))).rejects.toThrow("not well-formed");
    });
  });
}
