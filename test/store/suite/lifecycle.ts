import { describe, expect } from "vitest";
import type { UniqueKey } from "../../../src/domain/states.ts";
import { organizationRef } from "../../../src/store/store.ts";
import { addCounter, addOrganization, addUser, countUp, passToken, removeOrganization } from "../fixtures/commands.ts";
import { expectStoreError } from "../fixtures/errors.ts";
import type { Must } from "./must.ts";

const name = (value: string): UniqueKey => ({ kind: "organization_name", value });

/** What store.ts promises of verify, rebuild and close. */
export function defineLifecycleTests(must: Must): void {
  describe("verify and rebuild", () => {
    must("find an empty store sound", async ({ store }) => {
      expect(await store.verify()).toEqual({ problems: [], events: 0, aggregates: 0 });
      expect(await store.rebuild()).toEqual({ events: 0, aggregates: 0 });
    });

    must("count events and aggregates, and keep the projection as it is", async ({ store }) => {
      await Promise.all(["a", "b", "c"].map((id) => store.execute(addCounter(id))));
      await store.execute(addUser("u"));
      await store.execute(passToken({ to: "u", tokenId: "t" }));
      await store.execute(removeOrganization("b"));
      const before = [await store.list("organization"), await store.list("user")];
      expect(await store.verify()).toEqual({ problems: [], events: 9, aggregates: 4 });
      expect(await store.rebuild()).toEqual({ events: 9, aggregates: 4 });
      expect([await store.list("organization"), await store.list("user")]).toEqual(before);
      expect((await store.read([name("c")])).find(name("c"))?.ref).toEqual(organizationRef("c"));
      expect((await store.read([name("b")])).find(name("b"))).toBeUndefined();
    });

    must("run beside commands, in their order", async ({ store }) => {
      await store.execute(addCounter("a"));
      const results = await Promise.all([
        ...Array.from({ length: 20 }, () => store.execute(countUp("a"))),
        store.rebuild(),
        store.verify(),
        ...Array.from({ length: 20 }, () => store.execute(countUp("a"))),
      ]);
      expect(results[20]).toEqual({ events: 22, aggregates: 1 });
      expect(results[21]).toMatchObject({ problems: [] });
      expect(results.at(-1)).toMatchObject({ value: 40 });
    });
  });

  describe("close", () => {
    must("lets commands in progress end first", async ({ store }) => {
      await store.execute(addCounter("a"));
      const running = Array.from({ length: 300 }, () => store.execute(countUp("a")));
      const [closed, ...outcomes] = await Promise.all([store.close(), ...running]);
      expect(closed).toBeUndefined();
      expect(outcomes.map((outcome) => outcome?.value)).toEqual(running.map((_, index) => index + 1));
    });

    must("answers reads that began before", async ({ store }) => {
      await store.execute(addCounter("a"));
      const [view, closed] = await Promise.all([store.read([name("a")]), store.close()]);
      expect([view.position, closed]).toEqual([2, undefined]);
    });

    must("may be called again, also at once", async ({ store }) => {
      await Promise.all([store.close(), store.close()]);
      await store.close();
    });

    must("makes everything reject with closed", async ({ store }) => {
      const closing = store.close();
      for (const call of [
        () => store.read([]),
        () => store.list("user"),
        () => store.list("user", { limit: 1 }),
        () => store.history(organizationRef("a"), { limit: 1 }),
        () => store.changes({ after: 0, limit: 1 }),
        () => store.changed(0),
        () => store.execute(addOrganization("a")),
        () => store.verify(),
        () => store.rebuild(),
        () => store.export(async () => {}),
        () => store.import((async function* () {})(), async () => {}),
      ]) {
        await expectStoreError(call(), "closed");
      }
      await closing;
      await expectStoreError(store.read([]), "closed");
    });

    must("leaves a store that goes on where it ended when it is opened again", async ({ store, reopen, setClock }) => {
      await store.execute(addCounter("a"));
      await store.execute(countUp("a"));
      await store.close();
      setClock(500);
      const again = await reopen();
      const { value, events } = await again.execute(countUp("a"));
      expect([value, events[0]?.position, events[0]?.sequence, events[0]?.recordedAt]).toEqual([2, 4, 4, 1_000_000]);
      expect((await again.read([name("a")])).find(name("a"))?.version).toBe(4);
    });
  });
}
