import { describe, expect } from "vitest";
import type { UniqueKey } from "../../../src/domain/states.ts";
import { type Command, organizationRef, userRef } from "../../../src/store/store.ts";
import { addCounter, addOrganization, addUser, countUp, passToken, removeOrganization } from "../fixtures/commands.ts";
import { expectStoreError } from "../fixtures/errors.ts";
import type { Must } from "./must.ts";

const name = (value: string): UniqueKey => ({ kind: "organization_name", value });

/** What store.ts promises of execute. */
export function defineExecuteTests(must: Must): void {
  describe("execute", () => {
    must("resolves to the events as recorded", async ({ store, setClock }) => {
      setClock(5_000);
      await store.execute(addOrganization("first"));
      setClock(6_000.7);
      const { value, events } = await store.execute({ ...addCounter("a"), actor: "ada" });
      const ref = organizationRef("a");
      expect(value).toBe("a");
      expect(events).toMatchObject([
        { position: 2, ref, sequence: 1, recordedAt: 6_000, actor: "ada", event: { type: "OrganizationAdded" } },
        { position: 3, ref, sequence: 2, recordedAt: 6_000, actor: "ada", event: { type: "LoginPolicyAdded" } },
      ]);
      const view = await store.read([ref]);
      expect([view.position, view.recordedAt]).toEqual([3, 6_000]);
      expect(view.get(ref).state?.loginPolicy).toMatchObject({ createdAt: 6_000, sequence: 2 });
    });

    must("writes nothing where the decision is no change", async ({ store }) => {
      const ref = organizationRef("a");
      const outcome = await store.execute({
        actor: "test",
        reads: [ref],
        decide: () => ({ changes: [{ ref, events: [] }], value: 7 }),
      });
      expect(outcome).toEqual({ value: 7, events: [] });
      expect((await store.read([ref])).position).toBe(0);
      expect(await store.list("organization")).toEqual([]);
    });

    must("refuses nothing by what another store on the same place has changed since", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addOrganization("a", "ACME"));
      for (let round = 1; round <= 5; round += 1) {
        const wanted = addOrganization(`b${round}`, `ACME ${round}`);
        await store.execute(addOrganization(`c${round}`, `ACME ${round}`));
        await expectStoreError(store.execute(wanted), "conflict");
        await other.execute(removeOrganization(`c${round}`));
        expect((await store.execute(wanted)).value).toBe(`b${round}`);
      }
    });

    must("uses a record once, whichever store on the same place is asked", async ({ store, reopen }) => {
      const stores = [store, await reopen()];
      const ref = { record: "code", id: "c" };
      const use: Command<boolean> = {
        actor: "test",
        reads: [ref],
        decide: (view) =>
          view.record(ref) === undefined
            ? { changes: [], value: false }
            : { changes: [], records: [{ ref, to: undefined }], value: true },
      };
      const put: Command<void> = {
        actor: "test",
        reads: [],
        decide: () => ({ changes: [], records: [{ ref, to: { value: "v" } }], value: undefined }),
      };
      for (let round = 0; round < 20; round += 1) {
        await stores[round % 2]?.execute(put);
        // Both have it in memory.
        for (const one of stores) expect((await one.read([ref])).record(ref)).toEqual({ value: "v" });
        const used = await Promise.all([...stores, ...stores].map((one) => one.execute(use)));
        expect(used.filter(({ value }) => value)).toHaveLength(1);
      }
    });

    must("rejects with what decide threw, with nothing written and the others undisturbed", async ({ store }) => {
      const refusal = new Error("no");
      const refused: Command<never> = {
        actor: "test",
        reads: [],
        decide() {
          throw refusal;
        },
      };
      const settled = await Promise.allSettled([
        store.execute(addOrganization("a")),
        store.execute(refused),
        store.execute(addOrganization("b")),
      ]);
      expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
      expect((settled[1] as PromiseRejectedResult).reason).toBe(refusal);
      expect((await store.read([])).position).toBe(2);
    });

    must("decides in the order of the calls, each on what those before it decided", async ({ store }) => {
      await store.execute(addCounter("a"));
      const outcomes = await Promise.all(Array.from({ length: 600 }, () => store.execute(countUp("a"))));
      expect(outcomes.map(({ value }) => value)).toEqual(outcomes.map((_, index) => index + 1));
      expect(outcomes.map(({ events }) => events[0]?.sequence)).toEqual(outcomes.map((_, index) => index + 3));
      expect(outcomes.map(({ events }) => events[0]?.position)).toEqual(outcomes.map((_, index) => index + 3));
    });

    must("shows decide the position and the time of the newest event, earlier commands included", async ({ store }) => {
      const look: Command<readonly number[]> = {
        actor: "test",
        reads: [],
        decide: ({ position, recordedAt }) => ({ changes: [], value: [position, recordedAt] }),
      };
      const [before, , after] = await Promise.all([
        store.execute(look),
        store.execute(addOrganization("a")),
        store.execute(look),
      ]);
      expect([before.value, after.value]).toEqual([
        [0, 0],
        [1, 1_000_000],
      ]);
    });

    must("appends all changes of a command or none", async ({ store }) => {
      await store.execute(addOrganization("a", "taken"));
      const [b, c] = [organizationRef("b"), organizationRef("c")];
      const command: Command<void> = {
        actor: "test",
        reads: [b, c],
        decide: () => ({
          changes: [
            { ref: b, events: [{ type: "OrganizationAdded", version: 1, payload: { name: "free" } }] },
            { ref: c, events: [{ type: "OrganizationAdded", version: 1, payload: { name: "taken" } }] },
          ],
          value: undefined,
        }),
      };
      await expectStoreError(store.execute(command), "conflict");
      const view = await store.read([b, c, name("free")]);
      expect([view.position, view.get(b).version, view.get(c).version]).toEqual([1, 0, 0]);
      expect(view.find(name("free"))).toBeUndefined();
    });

    must("returns conflict when a key belongs to another aggregate", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      const message = await expectStoreError(store.execute(addOrganization("b", "ACME")), "conflict");
      expect(message).toBe("The organization_name of organization b belongs to another organization.");
    });

    must("returns conflict when a key was claimed by a command just before", async ({ store }) => {
      const [first, second] = await Promise.allSettled([
        store.execute(addOrganization("a", "ACME")),
        store.execute(addOrganization("b", "ACME")),
      ]);
      expect([first?.status, (second as PromiseRejectedResult).reason.code]).toEqual(["fulfilled", "conflict"]);
    });

    must("gives a key to another aggregate once it is free", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      await Promise.all([store.execute(removeOrganization("a")), store.execute(addOrganization("b", "ACME"))]);
      expect((await store.read([name("ACME")])).find(name("ACME"))?.ref).toEqual(organizationRef("b"));
    });

    must(
      "passes a key from one aggregate to another in one command, whatever the order of its changes",
      async ({ store }) => {
        await store.execute(addUser("a"));
        await store.execute(addUser("b"));
        await store.execute(passToken({ to: "a", tokenId: "t" }));
        await store.execute(passToken({ from: "a", to: "b", tokenId: "t" }));
        const key: UniqueKey = { kind: "token_id", value: "t" };
        expect((await store.read([key])).find(key)?.ref).toEqual(userRef("b"));
      },
    );

    must("changes an aggregate that was found by a key", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      await store.execute({
        actor: "test",
        reads: [name("ACME")],
        decide(view) {
          const ref = organizationRef(view.find(name("ACME"))?.ref.id ?? "none");
          return {
            changes: [{ ref, events: [{ type: "OrganizationRemoved", version: 1, payload: {} }] }],
            value: undefined,
          };
        },
      });
      expect((await store.list("organization"))[0]?.state?.removed).toBe(true);
    });

    must("refuses a change to an aggregate that was not read, and an event that cannot follow", async ({ store }) => {
      const ref = organizationRef("a");
      const unread = store.execute({ ...addOrganization("a"), reads: [] });
      await expect(unread).rejects.toThrow("organization a is not among the reads");
      const impossible: Command<void> = {
        actor: "test",
        reads: [ref],
        decide: () => ({
          changes: [{ ref, events: [{ type: "LoginPolicyRemoved", version: 1, payload: {} }] }],
          value: undefined,
        }),
      };
      await expect(store.execute(impossible)).rejects.toThrow("cannot follow");
      expect((await store.read([ref])).position).toBe(0);
    });

    must("records no event earlier than the one before it when the clock goes back", async ({ store, setClock }) => {
      const times: (number | undefined)[] = [];
      for (const now of [5_000, 3_000, 4_999, 5_001]) {
        setClock(now);
        const { events } = await store.execute(addOrganization(`at ${now}`));
        times.push(events[0]?.recordedAt);
      }
      expect(times).toEqual([5_000, 5_000, 5_000, 5_001]);
      expect((await store.read([])).recordedAt).toBe(5_001);
    });

    must("loses no update between two stores with 64 writers each", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addCounter("a"));
      const outcomes = await Promise.all(
        Array.from({ length: 128 }, async (_, writer) => {
          const values: number[] = [];
          for (let round = 0; round < 4; round++) {
            values.push((await (writer % 2 === 0 ? store : other).execute(countUp("a"))).value);
          }
          return values;
        }),
      );
      expect(outcomes.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 512 }, (_, index) => index + 1));
      expect((await other.read([organizationRef("a")])).get(organizationRef("a")).version).toBe(514);
    });

    must("lets one of two stores have a key that both claim", async ({ store, reopen }) => {
      const other = await reopen();
      for (let round = 0; round < 10; round++) {
        const settled = await Promise.allSettled([
          store.execute(addOrganization(`a${round}`, `ACME ${round}`)),
          other.execute(addOrganization(`b${round}`, `ACME ${round}`)),
        ]);
        expect(settled.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
        const refused = settled.find(({ status }) => status === "rejected") as PromiseRejectedResult;
        expect(refused.reason).toMatchObject({ code: "conflict" });
      }
    });
  });
}
