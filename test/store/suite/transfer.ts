import { describe, expect } from "vitest";
import { defaultLoginPolicy } from "../../../src/domain/login-policy/settings.ts";
import { StoreError } from "../../../src/store/errors.ts";
import {
  type AggregateRef,
  organizationRef,
  type RecordedEvent,
  type Store,
  userRef,
} from "../../../src/store/store.ts";
import { addCounter, addOrganization, addUser, countUp, removeOrganization } from "../fixtures/commands.ts";
import { expectStoreError } from "../fixtures/errors.ts";
import { collect, given } from "../fixtures/iterables.ts";
import type { Must } from "./must.ts";

/** Gives events to their aggregates in order, each with its place, from 1. */
function record(events: readonly { readonly ref: AggregateRef; readonly type: string; readonly payload?: object }[]) {
  const sequences = new Map<string, number>();
  return events.map(({ ref, type, payload = {} }, index): RecordedEvent => {
    const sequence = (sequences.get(ref.id) ?? 0) + 1;
    sequences.set(ref.id, sequence);
    const event = { type, version: 1, payload } as never;
    return { position: index + 1, ref, sequence, event, recordedAt: 5000 + index, actor: `actor ${index}` };
  });
}

/** As a store gives them, which says of each event where the one before it in its aggregate is. */
function linked(events: readonly RecordedEvent[]): readonly RecordedEvent[] {
  const last = new Map<string, number>();
  return events.map((event) => {
    const name = `${event.ref.type} ${event.ref.id}`;
    const previous = last.get(name) ?? 0;
    last.set(name, event.position);
    return { ...event, previous };
  });
}

const addition = (id: string, name = id) => ({
  ref: organizationRef(id),
  type: "OrganizationAdded",
  payload: { name },
});
const policy = (id: string) => ({ ref: organizationRef(id), type: "LoginPolicyAdded", payload: defaultLoginPolicy });
const three = record([addition("a"), addition("b"), policy("a")]);

const exported = (store: Store) =>
  store.export(async (history) => ({
    events: await collect(history.events()),
    aggregates: await collect(history.aggregates()),
  }));

const accept = async () => {};
const importAll = (store: Store, events: readonly RecordedEvent[]) => store.import(given(events), accept);

/** Events that must be refused, with what the sentence says. */
const refusals: readonly (readonly [name: string, sentence: RegExp, events: readonly RecordedEvent[]])[] = [
  ["do not begin at 1", /Event 2 follows event 0/, three.slice(1)],
  ["have a gap", /Event 3 follows event 1/, three.filter(({ position }) => position !== 2)],
  ["come twice", /Event 1 follows event 1/, three.slice(0, 1).concat(three)],
  [
    "have a sequence left out",
    /sequence 3 instead of 2/,
    three.map((one, index) => (index === 2 ? { ...one, sequence: 3 } : one)),
  ],
  ["go back in time", /Event 3 is older/, three.map((one, index) => (index === 2 ? { ...one, recordedAt: 1 } : one))],
  [
    "are of an unknown type",
    /Event 2 of organization a cannot be read: Frobnicated of version 1 is not known here/,
    record([addition("a"), { ...policy("a"), type: "Frobnicated" }]),
  ],
  [
    "are of a newer version",
    /Event 1 of organization a cannot be read: OrganizationAdded of version 2 is not known here/,
    three.map((one) => ({ ...one, event: { ...one.event, version: 2 } as never })),
  ],
  [
    "are of an unknown aggregate",
    /toString a/,
    record([{ ...addition("a"), ref: { type: "toString" as never, id: "a" } }]),
  ],
  ["cannot follow", /LoginPolicyAdded, cannot follow/, record([policy("a")])],
  ["give a name to two", /same name/, record([addition("a", "same"), addition("b", "same")])],
  ["give a name that is none", /not well-formed/, record([{ ...addition("a"), payload: { name: "\ud800" } }])],
  ["give no name", /not well-formed/, record([{ ...addition("a"), payload: {} }])],
];

/** What store.ts promises of export and import. */
export function defineTransferTests(must: Must): void {
  describe("export", () => {
    must("gives nothing of an empty store", async ({ store }) => {
      expect(await exported(store)).toEqual({ events: [], aggregates: [] });
    });

    must("gives every event as it was recorded, and every aggregate", async ({ store, setClock }) => {
      const outcomes = [await store.execute(addCounter("a")), await store.execute(addUser("u\0\\0\\ü😀"))];
      setClock(2_000_000);
      outcomes.push(
        (await store.execute(countUp("a"))) as never,
        (await store.execute(removeOrganization("a"))) as never,
      );
      const { events, aggregates } = await exported(store);
      expect(events).toEqual(outcomes.flatMap((outcome) => outcome.events));
      expect(events).toEqual(linked(events));
      const listed = [...(await store.list("organization")), ...(await store.list("user"))];
      expect(new Set(aggregates)).toEqual(new Set(listed));
    });

    must("is of one moment, whatever is written meanwhile", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addCounter("a"));
      const [positions, versions] = await store.export(async (history) => {
        const events = history.events()[Symbol.asyncIterator]();
        const found = [(await events.next()).value?.position];
        await Promise.all([store.execute(countUp("a")), other.execute(addOrganization("b"))]);
        for (let next = await events.next(); !next.done; next = await events.next()) found.push(next.value.position);
        return [found, (await collect(history.aggregates())).map(({ version }) => version)];
      });
      expect([positions, versions]).toEqual([[1, 2], [2]]);
    });

    must("ends as its reader ends, and the store goes on", async ({ store }) => {
      await store.execute(addCounter("a"));
      const failure = new StoreError("unavailable", "The disk is full.");
      const reading = store.export(async (history) => {
        for await (const _ of history.events()) throw failure;
      });
      await expect(reading).rejects.toBe(failure);
      expect((await store.execute(countUp("a"))).value).toBe(1);
    });
  });

  describe("import", () => {
    must("keeps every event as it was, and makes the projection", async ({ store }) => {
      const refs = { odd: "u\0\\0\\ü😀", even: "v" };
      const token = { tokenId: "t", digest: "\0\\" };
      const events = record([
        ...three.map(({ ref, event: { type, payload } }) => ({ ref, type, payload })),
        { ref: userRef(refs.odd), type: "UserAdded", payload: { name: "\\0", organizationId: "a" } },
        { ref: userRef(refs.even), type: "UserAdded", payload: { name: "v", organizationId: "a" } },
        { ref: userRef(refs.odd), type: "TokenCreated", payload: token },
        { ref: userRef(refs.odd), type: "TokenRevoked", payload: { tokenId: "t" } },
        { ref: userRef(refs.even), type: "TokenCreated", payload: token },
      ]).map((event, index) => (index === 0 ? { ...event, actor: "\0\\ü" } : event));
      await importAll(store, events);
      expect((await exported(store)).events).toEqual(linked(events));
      const key = { kind: "token_digest", value: token.digest } as const;
      expect((await store.read([key])).find(key)?.ref).toEqual(userRef(refs.even));
      expect(await store.verify()).toEqual({ problems: [], events: 8, aggregates: 4 });
      const { events: next } = await store.execute(removeOrganization("a"));
      expect(next).toMatchObject([{ position: 9, sequence: 3 }]);
    });

    must("keeps which events one command wrote, and why, however many there are", async ({ store }) => {
      const additions = Array.from({ length: 1100 }, (_, index) => addition(`o${index}`));
      // Pairs that begin at even positions: whatever round number of events is written at a time, it cuts one.
      const events = record(additions).map((event) => ({
        ...event,
        append: Math.max(1, event.position - (event.position % 2)),
        ...(event.position % 5 === 0 && { cause: { type: "RolledBack", revision: event.position } as const }),
      }));
      await importAll(store, events);
      expect((await exported(store)).events).toEqual(linked(events));
      expect(await store.verify()).toMatchObject({ problems: [], events: 1100 });
    });

    must("takes an aggregate that has one unique key twice, as other writes do", async ({ store }) => {
      const token = (tokenId: string) => ({
        ref: userRef("u"),
        type: "TokenCreated",
        payload: { tokenId, digest: "d" },
      });
      const user = { ref: userRef("u"), type: "UserAdded", payload: { name: "u", organizationId: "a" } };
      const events = record([user, token("t"), token("t again")]);
      await importAll(store, events);
      const key = { kind: "token_digest", value: "d" } as const;
      expect((await store.read([key])).find(key)?.ref).toEqual(userRef("u"));
      expect(await store.verify()).toEqual({ problems: [], events: 3, aggregates: 1 });
    });

    must("goes on beyond what it writes at a time", async ({ store }) => {
      const ids = Array.from({ length: 40 }, (_, index) => `${index}`);
      const users = ids.map((id) => ({
        ref: userRef(id),
        type: "UserAdded",
        payload: { name: id, organizationId: "a" },
      }));
      const passes = Array.from({ length: 2000 }, (_, index) => {
        const of = (n: number) => userRef(`${n % ids.length}`);
        const created = { ref: of(index), type: "TokenCreated", payload: { tokenId: "t", digest: "d" } };
        return index === 0
          ? [created]
          : [{ ref: of(index - 1), type: "TokenRevoked", payload: { tokenId: "t" } }, created];
      });
      const events = record([...users, ...passes.flat()]);
      await importAll(store, events);
      expect((await exported(store)).events).toEqual(linked(events));
      expect(
        (await store.read([{ kind: "token_id", value: "t" }])).find({ kind: "token_id", value: "t" })?.ref.id,
      ).toBe("39");
    });

    must("shows nothing of it before it was checked, and what it would be to the check", async ({ store, reopen }) => {
      const other = await reopen();
      let seen: unknown;
      await store.import(given(three), async (history) => {
        const positions = await Promise.all([store, other].map(async (one) => (await one.read([])).position));
        const versions = (await collect(history.aggregates())).map(({ version }) => version).sort();
        seen = { positions, versions, events: await collect(history.events()) };
      });
      expect(seen).toEqual({ positions: [0, 0], versions: [1, 2], events: linked(three) });
      expect((await other.read([])).position).toBe(3);
    });

    must("lets a writer who comes meanwhile write after it", async ({ store }) => {
      let writing: Promise<unknown> | undefined;
      await store.import(given(three), async () => {
        writing = store.execute(addOrganization("c"));
      });
      expect(await writing).toMatchObject({ events: [{ position: 4 }] });
    });

    must("refuses a store that has events, and leaves them", async ({ store }) => {
      await store.execute(addOrganization("there"));
      expect(await expectStoreError(importAll(store, three), "conflict")).toMatch(/has events already/);
      expect((await exported(store)).events).toHaveLength(1);
    });

    must("leaves the store empty where the events end in an error, or the check does", async ({ store }) => {
      const failure = new StoreError("corrupt", "The rest is missing.");
      const fail = async () => {
        throw failure;
      };
      async function* cutShort() {
        yield* three;
        throw failure;
      }
      await expect(store.import(cutShort(), accept)).rejects.toBe(failure);
      await expect(store.import(given(three), fail)).rejects.toBe(failure);
      expect(await exported(store)).toEqual({ events: [], aggregates: [] });
      await importAll(store, three);
    });

    for (const [name, sentence, events] of refusals) {
      must(`refuses events that ${name}, and leaves the store empty and usable`, async ({ store }) => {
        const error = await importAll(store, events).catch((reason: unknown) => reason);
        expect(error).toMatchObject({ name: "StoreError", code: "corrupt", message: expect.stringMatching(sentence) });
        expect(await exported(store)).toEqual({ events: [], aggregates: [] });
        await store.execute(addUser("u"));
      });
    }

    must("takes no events for an empty store that stays empty", async ({ store }) => {
      await importAll(store, []);
      expect((await store.read([])).position).toBe(0);
    });
  });
}
