import { describe, expect, it, onTestFinished } from "vitest";
import { createPolicyHistory } from "../../../src/application/policy-history.ts";
import type { OrganizationEvent } from "../../../src/domain/events.ts";
import { emptyStream, foldEvents, type PolicyOwnerEvent } from "../../../src/domain/login-policy/revisions.ts";
import { StoreError } from "../../../src/store/errors.ts";
import { openStore } from "../../../src/store/open.ts";
import { type HistoryOptions, instanceRef, organizationRef, type Store } from "../../../src/store/store.ts";
import { event } from "../../fixtures/builders.ts";
import { collect, given } from "../../store/fixtures/iterables.ts";

const ref = organizationRef("1");

/** A store with an instance and an organization, which has a policy of its own. */
async function openSample(): Promise<Store> {
  const store = await openStore({ location: "memory:" });
  onTestFinished(() => store.close());
  await store.execute({
    actor: "setup",
    reads: [instanceRef, ref],
    decide: () => ({
      changes: [
        { ref: instanceRef, events: [event.instanceCreated()] },
        { ref, events: [event.organizationAdded()] },
      ],
      value: undefined,
    }),
  });
  await write(store, event.policyAdded());
  return store;
}

const write = (store: Store, ...events: OrganizationEvent[]) =>
  store.execute({ actor: "ada", reads: [ref], decide: () => ({ changes: [{ ref, events }], value: undefined }) });

/** Adds and removes a factor in turns. */
async function writeMany(store: Store, count: number): Promise<void> {
  const written = Array.from({ length: count }, (_, index) =>
    write(store, index % 2 === 0 ? event.secondFactorAdded("otp_sms") : event.secondFactorRemoved("otp_sms")),
  );
  await Promise.all(written);
}

/** Reads the histories of a store, which may be replaced, and counts the events that it passes on. */
function watched(first: Store) {
  const seen = { calls: 0, events: 0, store: first };
  const history = (async (...[owner, options]: Parameters<Store["history"]>) => {
    const page = await seen.store.history(owner, options);
    seen.calls += 1;
    seen.events += page?.length ?? 0;
    return page;
  }) as Store["history"];
  return Object.assign(seen, { history });
}

const snapshotOf = async (store: Store) => (await store.read([ref])).get(ref);

async function foldedAnew(store: Store) {
  const events: PolicyOwnerEvent[] = [...((await store.history(ref, { limit: 10_000 })) ?? [])];
  return foldEvents("organization", emptyStream, events.reverse()).timeline;
}

describe("the timeline of an owner", () => {
  it("is what its events lead to, however many pages they take", async () => {
    const store = await openSample();
    await writeMany(store, 1198);
    const timeline = await createPolicyHistory(store).timeline(await snapshotOf(store));
    expect(timeline).toEqual(await foldedAnew(store));
    expect(timeline).toHaveLength(1199);
  });

  it("is empty for an owner that is not there, and asks for nothing", async () => {
    const store = watched(await openSample());
    const view = await store.store.read([organizationRef("2")]);
    expect(await createPolicyHistory(store).timeline(view.get(organizationRef("2")))).toEqual([]);
    expect(store.calls).toBe(0);
  });

  it("is kept: only new events are read, and none where there are none", async () => {
    const store = await openSample();
    await writeMany(store, 20);
    const reader = watched(store);
    const history = createPolicyHistory(reader);
    const before = await history.timeline(await snapshotOf(store));
    expect(await history.timeline(await snapshotOf(store))).toBe(before);
    expect(reader).toMatchObject({ calls: 1, events: 22 });

    await write(store, event.secondFactorRemoved("otp"), event.secondFactorRemoved("u2f"));
    expect(await history.timeline(await snapshotOf(store))).toEqual(await foldedAnew(store));
    // Both, and the last one that was known.
    expect(reader).toMatchObject({ calls: 2, events: 25 });
    expect(before).toHaveLength(21);
  });

  it("is read once for all who ask at a time", async () => {
    const store = await openSample();
    const reader = watched(store);
    const history = createPolicyHistory(reader);
    const snapshot = await snapshotOf(store);
    const timelines = await Promise.all(Array.from({ length: 64 }, () => history.timeline(snapshot)));
    expect(new Set(timelines).size).toBe(1);
    expect(reader.calls).toBe(1);
  });

  it("has the events of a snapshot also where an earlier call is still reading", async () => {
    const store = await openSample();
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const history = createPolicyHistory({
      history: (async (owner: typeof ref, options: HistoryOptions) => {
        const page = await store.history(owner, options);
        asked.resolve();
        await gate.promise;
        return page;
      }) as Store["history"],
    });
    const early = history.timeline(await snapshotOf(store));
    await asked.promise;
    await write(store, event.secondFactorRemoved("otp"));
    const late = history.timeline(await snapshotOf(store));
    gate.resolve();
    expect((await early).map(({ revision }) => revision)).toEqual([2]);
    expect((await late).map(({ revision }) => revision)).toEqual([2, 3]);
  });

  it("ends with the snapshot, also where newer events are known", async () => {
    const store = await openSample();
    const history = createPolicyHistory(store);
    const snapshot = await snapshotOf(store);
    await write(store, event.secondFactorRemoved("otp"));
    expect(await history.timeline(await snapshotOf(store))).toHaveLength(2);
    expect((await history.timeline(snapshot)).map(({ revision }) => revision)).toEqual([2]);
  });

  it.each([
    ["is shorter", 1],
    ["is just as long", 3],
    ["is longer", 6],
  ])("is folded anew where the store was replaced by a copy from before it that %s now", async (_, count) => {
    const first = await openSample();
    await writeMany(first, 4);
    const backup = await first.export((history) => collect(history.events()));
    await writeMany(first, 3);
    const reader = watched(first);
    const history = createPolicyHistory(reader);
    await history.timeline(await snapshotOf(first));

    const other = await openStore({ location: "memory:", clock: () => Date.UTC(2050, 0) });
    onTestFinished(() => other.close());
    await other.import(given(backup), async () => {});
    await writeMany(other, count);
    reader.store = other;
    expect(await history.timeline(await snapshotOf(other))).toEqual(await foldedAnew(other));
  });

  it("of a stream that is longer than the bound is right, and is not kept", async () => {
    const store = await openSample();
    await writeMany(store, 20);
    const reader = watched(store);
    const history = createPolicyHistory(reader, { maxRevisions: 20 });
    for (const calls of [1, 2]) {
      expect(await history.timeline(await snapshotOf(store))).toEqual(await foldedAnew(store));
      expect(reader.calls).toBe(calls);
    }
  });

  it("is read again after a failure", async () => {
    const store = await openSample();
    let failures = 1;
    const history = createPolicyHistory({
      history: (async (owner: typeof ref, options: HistoryOptions) => {
        if (failures-- > 0) throw new StoreError("unavailable", "away");
        return store.history(owner, options);
      }) as Store["history"],
    });
    const snapshot = await snapshotOf(store);
    await expect(history.timeline(snapshot)).rejects.toMatchObject({ code: "unavailable" });
    expect(await history.timeline(snapshot)).toHaveLength(1);
  });
});

describe("timelines", () => {
  it("are those of the instance and of the organization that a view has read", async () => {
    const store = await openSample();
    const history = createPolicyHistory(store);
    const view = await store.read([instanceRef, ref]);
    const { instance, organization } = await history.timelines(view, ref.id);
    expect([instance, organization].map((timeline) => timeline?.map(({ revision }) => revision))).toEqual([[1], [2]]);
    expect((await history.timelines(view)).organization).toBeUndefined();
  });
});
