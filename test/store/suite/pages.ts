import { describe, expect } from "vitest";
import type { AggregateType, Cause } from "../../../src/domain/events.ts";
import { defaultLoginPolicy } from "../../../src/domain/login-policy/settings.ts";
import type { OrganizationState } from "../../../src/domain/states.ts";
import {
  type AggregateRef,
  type Command,
  type KeyPage,
  organizationRef,
  type RecordedEvent,
  type Store,
  userRef,
} from "../../../src/store/store.ts";
import { addCounter, addOrganization, addUser, countUp, removeOrganization } from "../fixtures/commands.ts";
import { collect } from "../fixtures/iterables.ts";
import { readChanges, readHistory } from "../fixtures/pages.ts";
import type { Must } from "./must.ts";

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

const exported = (store: Store): Promise<RecordedEvent[]> => store.export(({ events }) => collect(events()));

/** Two counters and a user, whose events alternate. */
async function addCounters(store: Store): Promise<void> {
  for (const id of ["a", "b"]) await store.execute(addCounter(id));
  await store.execute(addUser("u"));
  for (let count = 1; count <= 10; count++) {
    await Promise.all(["a", "b", "b"].map((id) => store.execute(countUp(id))));
  }
}

/** Does work while several callers count up. */
async function whileWriting(store: Store, work: () => Promise<void>): Promise<void> {
  let isStopped = false;
  const write = async (id: string) => {
    while (!isStopped) await store.execute(countUp(id));
  };
  const working = work().finally(() => {
    isStopped = true;
  });
  await Promise.all([working, ...["a", "b", "a", "b", "a", "b"].map(write)]);
}

/** So many events of one user, in one command. */
const setPasswords = (id: string, count: number): Command<void> => ({
  actor: "test",
  reads: [userRef(id)],
  decide: () => ({
    changes: [
      {
        ref: userRef(id),
        events: Array.from({ length: count }, () => ({ type: "PasswordSet", version: 1, payload: { hash: "" } })),
      },
    ],
    value: undefined,
  }),
});

/** What store.ts promises of history, changes and the pages of list. */
export function definePageTests(must: Must): void {
  describe("history", () => {
    must("returns the events of one aggregate, newest first, in pages that join up", async ({ store }) => {
      await addCounters(store);
      const all = await exported(store);
      for (const ref of [organizationRef("a"), organizationRef("b"), userRef("u")]) {
        const own = all.filter((event) => event.ref.type === ref.type && event.ref.id === ref.id).reverse();
        for (const limit of [1, 4, own.length, 1000]) expect(await readHistory(store, ref, limit)).toEqual(own);
      }
    });

    must("begins before any event of the aggregate", async ({ store }) => {
      await addCounters(store);
      const ref = organizationRef("b");
      const all = await readHistory(store, ref, 1000);
      for (const [index, { position }] of all.entries()) {
        expect(await store.history(ref, { before: position, limit: 3 })).toEqual(all.slice(index + 1, index + 4));
      }
    });

    must("has no events for an aggregate without any", async ({ store }) => {
      expect(await store.history(organizationRef("none"), { limit: 10 })).toEqual([]);
      await store.execute(addOrganization("a"));
      expect(await store.history(organizationRef("none"), { limit: 10 })).toEqual([]);
    });

    must("resolves to undefined before what is no event of the aggregate", async ({ store }) => {
      await store.execute(addOrganization("a"));
      await store.execute(addOrganization("b"));
      for (const before of [0, 2, 3, 1e15]) {
        expect(await store.history(organizationRef("a"), { before, limit: 10 })).toBeUndefined();
      }
      expect(await store.history(organizationRef("a"), { before: 1, limit: 10 })).toEqual([]);
    });

    must("has all events where the limit is the largest", async ({ store }) => {
      await addCounters(store);
      const limit = Number.MAX_SAFE_INTEGER;
      const all = await readHistory(store, organizationRef("a"), 1000);
      expect(await store.history(organizationRef("a"), { limit })).toEqual(all);
      expect(await store.history(organizationRef("a"), { before: all[0]?.position ?? 0, limit })).toEqual(all.slice(1));
      expect((await store.changes({ after: 0, limit })).events).toEqual(await exported(store));
      expect(await store.list("organization", { limit })).toEqual(await store.list("organization"));
    });

    must("shows every event that was acknowledged before", async ({ store }) => {
      const ref = organizationRef("a");
      await store.execute(addCounter("a"));
      for (let count = 1; count <= 20; count++) {
        const { events } = await store.execute(countUp("a"));
        expect(await store.history(ref, { limit: 1 })).toEqual(events);
      }
    });

    must("shows at once every event that another store acknowledged", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addCounter("a"));
      for (let count = 1; count <= 20; count++) {
        const { events } = await store.execute(countUp("a"));
        expect(await other.history(organizationRef("a"), { limit: 1 })).toEqual(events);
        const [{ position = 0 } = {}] = events;
        expect(await other.changes({ after: position - 1, limit: 10 })).toEqual({ events, through: position });
        expect((await other.list("organization", { limit: 1 }))[0]?.version).toBe(count + 2);
      }
    });

    must("has neither gaps nor doubles while others write", async ({ store }) => {
      await store.execute(addCounter("a"));
      await store.execute(addCounter("b"));
      await whileWriting(store, async () => {
        for (let round = 0; round < 20; round++) {
          const sequences = (await readHistory(store, organizationRef("a"), 50)).map(({ sequence }) => sequence);
          expect(sequences).toEqual(Array.from(sequences, (_, index) => sequences.length - index));
          await nextTurn();
        }
      });
    });

    must("tells aggregates apart by every code point of their ids", async ({ store }) => {
      const ids = ["ACME", "acme", "o'b\"c\\d%_", "nul\0end", "\\0", "\0", "🏰"];
      for (const id of ids) await store.execute({ ...addCounter(id), actor: id });
      for (const id of ids) {
        const events = (await store.history(organizationRef(id), { limit: 10 })) ?? [];
        expect(events.map(({ ref, actor, sequence }) => [ref.id, actor, sequence])).toEqual([
          [id, id, 2],
          [id, id, 1],
        ]);
      }
    });
  });

  describe("changes", () => {
    must("returns the events after a position in their order, in pages that join up", async ({ store }) => {
      await addCounters(store);
      const all = await exported(store);
      for (const limit of [1, 7, all.length, 1000]) {
        expect(await readChanges(store, { after: 0, limit })).toEqual({ events: all, through: all.length });
      }
      expect(await store.changes({ after: 10, limit: 3 })).toEqual({ events: all.slice(10, 13), through: 13 });
    });

    must("returns events of the wanted types alone", async ({ store }) => {
      await addCounters(store);
      const all = await exported(store);
      const wanted: readonly (readonly AggregateType[])[] = [["user"], ["user", "organization"], ["client"], []];
      for (const types of wanted) {
        const events = all.filter(({ ref }) => types.includes(ref.type));
        expect(await readChanges(store, { after: 0, types, limit: 2 })).toEqual({ events, through: all.length });
      }
    });

    must("says how far it came where it found less than it looked at", async ({ store }) => {
      await store.execute(addUser("u"));
      await store.execute(setPasswords("u", 12_000));
      await store.execute(addOrganization("a"));
      const types = ["organization"] as const;
      let pages = 0;
      for (let after = 0; after < 12_002; pages += 1) {
        const { events, through } = await store.changes({ after, types, limit: 10 });
        expect(events.map(({ position }) => position)).toEqual(through < 12_002 ? [] : [12_002]);
        expect(through).toBeGreaterThan(after);
        after = through;
      }
      expect(pages).toBeGreaterThan(1);
    });

    must("has nothing after the newest event, nor after one to come", async ({ store }) => {
      expect(await store.changes({ after: 0, limit: 10 })).toEqual({ events: [], through: 0 });
      await store.execute(addCounter("a"));
      for (const after of [2, 3, 1e15]) {
        expect(await store.changes({ after, limit: 10 })).toEqual({ events: [], through: after });
      }
    });

    must("leaves no event out while others write", async ({ store }) => {
      await store.execute(addCounter("a"));
      await store.execute(addCounter("b"));
      const positions: number[] = [];
      await whileWriting(store, async () => {
        for (let after = 0; after < 1000; ) {
          const { events, through } = await store.changes({ after, limit: 13 });
          positions.push(...events.map(({ position }) => position));
          expect(through).toBe(positions.length);
          after = through;
          await nextTurn();
        }
      });
      expect(positions).toEqual(Array.from(positions, (_, index) => index + 1));
    });
  });

  describe("an append", () => {
    const add = (ids: readonly string[], cause?: Cause): Command<void> => ({
      actor: "test",
      ...(cause && { cause }),
      reads: ids.map(organizationRef),
      decide: () => ({
        changes: ids.map((id) => ({
          ref: organizationRef(id),
          events: [
            { type: "OrganizationAdded", version: 1, payload: { name: id } },
            { type: "LoginPolicyAdded", version: 1, payload: defaultLoginPolicy },
          ],
        })),
        value: undefined,
      }),
    });
    const facts = (events: readonly RecordedEvent[]) => events.map(({ append, cause }) => [append, cause]);

    must("is told by each of its events, on whatever aggregate, with its cause", async ({ store }) => {
      const cause: Cause = { type: "RolledBack", revision: 7 };
      // At once, so that they share a commit.
      const results = await Promise.all([store.execute(add(["a"])), store.execute(add(["b", "c"], cause))]);
      await store.execute(add(["d"]));
      const wanted = [
        ...[1, 1].map((append) => [append, undefined]),
        ...[3, 3, 3, 3].map((append) => [append, cause]),
        ...[7, 7].map((append) => [append, undefined]),
      ];
      expect(facts(results.flatMap(({ events }) => events))).toEqual(wanted.slice(0, 6));
      expect(facts((await store.changes({ after: 0, limit: 100 })).events)).toEqual(wanted);
      expect(facts((await store.history(organizationRef("c"), { limit: 9 })) ?? [])).toEqual(wanted.slice(4, 6));
      expect(facts(await exported(store))).toEqual(wanted);
      expect((await store.verify()).problems).toEqual([]);
    });
  });

  describe("listByKey", () => {
    // In the order of their bytes. UTF-16 has those from \uffee on in another.
    const [long, last] = ["\u{1f600}".repeat(200), "\u{10ffff}"];
    const names = [
      "A",
      "a",
      "a b",
      "a%",
      "a_",
      "ab",
      "ab\\c",
      "abc",
      "b",
      "é",
      "\uffee",
      "\u{1f600}",
      long,
      last,
      last + last,
    ];
    const listed = async (store: Store, page: Partial<KeyPage>) => {
      const found = await store.listByKey("organization_name", { startsWith: "", limit: 100, ...page });
      return found.map(({ value, snapshot }) => {
        expect((snapshot.state as OrganizationState).name).toBe(value);
        return value;
      });
    };

    must("has the holders of values that begin with a text, in the order of bytes", async ({ store }) => {
      for (const [index, name] of [...names].reverse().entries())
        await store.execute(addOrganization(`o${index}`, name));
      await store.execute(addUser("ab"));
      expect(await listed(store, {})).toEqual(names);
      expect(await listed(store, { startsWith: "a" })).toEqual(names.slice(1, 8));
      expect(await listed(store, { startsWith: "ab" })).toEqual(["ab", "ab\\c", "abc"]);
      expect(await listed(store, { startsWith: "ab\\" })).toEqual(["ab\\c"]);
      expect(await listed(store, { startsWith: "a%" })).toEqual(["a%"]);
      expect(await listed(store, { startsWith: "abcd" })).toEqual([]);
      expect(await listed(store, { startsWith: "\u{1f600}" })).toEqual(["\u{1f600}", long]);
      expect(await listed(store, { startsWith: long })).toEqual([long]);
      expect(await listed(store, { startsWith: last })).toEqual([last, last + last]);
      expect(await listed(store, { startsWith: "ab", after: "A" })).toEqual(["ab", "ab\\c", "abc"]);
      expect(await listed(store, { startsWith: "ab", after: "b" })).toEqual([]);
    });

    must("has pages that join up", async ({ store }) => {
      for (const [index, name] of names.entries()) await store.execute(addOrganization(`o${index}`, name));
      const all: string[] = [];
      for (let page = await listed(store, { startsWith: "a", limit: 3 }); page.length > 0; ) {
        all.push(...page);
        page = await listed(store, { startsWith: "a", after: page.at(-1) as string, limit: 3 });
      }
      expect(all).toEqual(names.slice(1, 8));
    });

    must("shows at once what another store acknowledged, and none that was removed", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addOrganization("1", "one"));
      expect(await listed(other, { startsWith: "o" })).toEqual(["one"]);
      await store.execute(removeOrganization("1"));
      expect(await listed(other, { startsWith: "o" })).toEqual([]);
    });
  });

  describe("list by pages", () => {
    must("has pages that join up, in the order of the ids' bytes", async ({ store }) => {
      const ids = ["a", "B", "ü", "Z", "10", "9", "ab", "a b", "_", "\uffee", "😀", "z"];
      await Promise.all(ids.map((id) => store.execute(addOrganization(id))));
      await store.execute(addUser("u"));
      await store.execute(removeOrganization("ab"));
      const sorted = ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const all = await store.list("organization");
      expect(all.map(({ ref }) => ref.id)).toEqual(sorted);
      for (const limit of [1, 5, 12, 100]) {
        const paged = [];
        for (let page = await store.list("organization", { limit }); page.length > 0; ) {
          expect(page.length).toBeLessThanOrEqual(limit);
          paged.push(...page);
          page = await store.list("organization", { after: page.at(-1)?.ref.id ?? "", limit });
        }
        expect(paged).toEqual(all);
      }
      expect(await store.list("organization", { after: "zz", limit: 1 })).toMatchObject([{ ref: { id: "ü" } }]);
    });
  });

  describe("a page", () => {
    must("of no items, or at what is no position, is a mistake", async ({ store }) => {
      const ref: AggregateRef = organizationRef("a");
      for (const limit of [0, -1, 1.5, Number.NaN]) {
        await expect(store.history(ref, { limit })).rejects.toThrow(RangeError);
        await expect(store.changes({ after: 0, limit })).rejects.toThrow(RangeError);
        await expect(store.list("user", { limit })).rejects.toThrow(RangeError);
      }
      for (const position of [-1, 1.5, Number.NaN, 2 ** 60]) {
        await expect(store.history(ref, { before: position, limit: 1 })).rejects.toThrow(RangeError);
        await expect(store.changes({ after: position, limit: 1 })).rejects.toThrow(RangeError);
        await expect(store.changed(position)).rejects.toThrow(RangeError);
      }
    });
  });
}
