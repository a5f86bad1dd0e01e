import { describe, expect } from "vitest";
import { addCounter, addOrganization, countUp } from "../fixtures/commands.ts";
import { expectStoreError } from "../fixtures/errors.ts";
import type { Must } from "./must.ts";

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Whether a promise has ended by now. */
function watch(promise: Promise<unknown>): () => boolean {
  let hasEnded = false;
  const end = () => {
    hasEnded = true;
  };
  promise.then(end, end);
  return () => hasEnded;
}

/** What store.ts promises of changed. */
export function defineChangedTests(must: Must): void {
  describe("changed", () => {
    must("resolves where there is an event after the position already", async ({ store }) => {
      await store.execute(addCounter("a"));
      expect(await Promise.all([store.changed(0), store.changed(1)])).toEqual([2, 2]);
    });

    must("resolves at once when a command of the store commits an event", async ({ store }) => {
      await store.execute(addCounter("a"));
      for (let position = 2; position < 22; position++) {
        const changed = store.changed(position);
        // The look for events that are there already has ended.
        await store.read([]);
        await nextTurn();
        const hasEnded = watch(changed);
        await store.execute(countUp("a"));
        await nextTurn();
        expect(hasEnded()).toBe(true);
        expect(await changed).toBe(position + 1);
      }
    });

    must("resolves when another store on the same place commits an event", async ({ store, reopen }) => {
      const other = await reopen();
      for (let position = 0; position < 5; position++) {
        const changed = other.changed(position);
        await other.read([]);
        await store.execute(addOrganization(String(position)));
        expect(await changed).toBe(position + 1);
        expect((await other.changes({ after: position, limit: 10 })).through).toBe(position + 1);
      }
    });

    must("waits on where records change, or a command changes nothing", async ({ store }) => {
      await store.execute(addOrganization("a"));
      const changed = store.changed(1);
      const hasEnded = watch(changed);
      const ref = { record: "code", id: "r" };
      await store.execute({
        actor: "test",
        reads: [],
        decide: () => ({ changes: [], records: [{ ref, to: { value: 1 } }], value: undefined }),
      });
      await store.execute({ actor: "test", reads: [], decide: () => ({ changes: [], value: undefined }) });
      await store.read([ref]);
      await nextTurn();
      expect(hasEnded()).toBe(false);
      await store.execute(addOrganization("b"));
      expect(await changed).toBe(2);
    });

    must("resolves for thousands who wait, and for no one who waits for later events", async ({ store }) => {
      const waiting = Array.from({ length: 5000 }, () => store.changed(0));
      const later = store.changed(1);
      const hasEnded = watch(later);
      await store.execute(addOrganization("a"));
      expect(new Set(await Promise.all(waiting))).toEqual(new Set([1]));
      expect(hasEnded()).toBe(false);
      await store.execute(addOrganization("b"));
      expect(await later).toBe(2);
    });

    must("rejects with the reason of the signal, and lets others wait", async ({ store }) => {
      const reason = new Error("enough");
      const controller = new AbortController();
      const { signal } = controller;
      const aborted = [store.changed(0, { signal }), store.changed(0, { signal })];
      const other = store.changed(0);
      await nextTurn();
      controller.abort(reason);
      for (const one of [...aborted, store.changed(0, { signal })]) await expect(one).rejects.toBe(reason);
      await store.execute(addOrganization("a"));
      expect(await other).toBe(1);
      await expect(store.changed(0, { signal })).rejects.toBe(reason);
    });

    must("rejects with closed when the store closes", async ({ store }) => {
      const waiting = store.changed(0);
      const refused = expectStoreError(waiting, "closed");
      await nextTurn();
      await Promise.all([store.close(), refused]);
      await expectStoreError(store.changed(0), "closed");
    });
  });
}
