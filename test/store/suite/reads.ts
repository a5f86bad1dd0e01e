import { describe, expect } from "vitest";
import type { UniqueKey } from "../../../src/domain/states.ts";
import { instanceRef, organizationRef, userRef } from "../../../src/store/store.ts";
import {
  addCounter,
  addOrganization,
  addUser,
  countUp,
  passToken,
  readCount,
  removeOrganization,
} from "../fixtures/commands.ts";
import type { Must } from "./must.ts";

const name = (value: string): UniqueKey => ({ kind: "organization_name", value });

/** What store.ts promises of read and list. */
export function defineReadTests(must: Must): void {
  describe("read", () => {
    must("returns version 0 and no state for an aggregate without events", async ({ store }) => {
      const view = await store.read([instanceRef, organizationRef("none"), name("none")]);
      expect(view.get(instanceRef)).toEqual({ ref: instanceRef, version: 0, position: 0, state: undefined });
      expect(view.get(organizationRef("none")).version).toBe(0);
      expect(view.find(name("none"))).toBeUndefined();
      expect([view.position, view.recordedAt]).toEqual([0, 0]);
    });

    must("shows every write that was acknowledged before", async ({ store }) => {
      await store.execute(addCounter("a"));
      for (let count = 1; count <= 20; count++) {
        await store.execute(countUp("a"));
        const view = await store.read([organizationRef("a")]);
        expect([readCount(view.get(organizationRef("a"))), view.position]).toEqual([count, count + 2]);
      }
    });

    must("shows at once what another store on the same place acknowledged", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addCounter("a"));
      for (let count = 1; count <= 20; count++) {
        await store.execute(countUp("a"));
        expect(readCount((await other.read([organizationRef("a")])).get(organizationRef("a")))).toBe(count);
      }
    });

    must("need show no more than an earlier view, and never less", async ({ store, reopen }) => {
      const other = await reopen();
      await store.execute(addCounter("a"));
      const ref = organizationRef("a");
      for (let count = 1; count <= 20; count++) {
        await store.execute(countUp("a"));
        const seen = await other.read([ref]);
        expect(readCount(seen.get(ref))).toBe(count);
        const view = await other.read([ref, instanceRef], { seen });
        expect([readCount(view.get(ref)), view.position]).toEqual([count, seen.position]);
      }
      const seen = await other.read([ref]);
      await store.execute(countUp("a"));
      expect([20, 21]).toContain(readCount((await other.read([ref], { seen })).get(ref)));
      expect(readCount((await other.read([ref])).get(ref))).toBe(21);
    });

    must("shows a write that was seen through the same store", async ({ store }) => {
      await store.execute(addCounter("a"));
      const ref = organizationRef("a");
      for (let count = 1; count <= 20; count++) {
        await store.execute(countUp("a"));
        const seen = await store.read([]);
        expect(readCount((await store.read([ref], { seen })).get(ref))).toBe(count);
      }
    });

    must("reads in the same view what follows from what was found", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      await store.execute(addUser("u"));
      for (let round = 0; round < 2; round++) {
        const view = await store.read([name("ACME")], {
          follow: (found) => (found.find(name("ACME")) === undefined ? [] : [userRef("u")]),
        });
        expect([view.get(organizationRef("a")).version, view.get(userRef("u")).version]).toEqual([1, 1]);
        const nothing = await store.read([name("none")], {
          follow: (found) => (found.find(name("none")) ? [userRef("u")] : []),
        });
        expect(() => nothing.get(userRef("u"))).toThrow("user u is not among the reads");
      }
    });

    must("fails alone where what it looks for afterwards throws", async ({ store }) => {
      await store.execute(addOrganization("a"));
      const follow = () => {
        throw new Error("no");
      };
      const results = await Promise.allSettled([
        store.read([organizationRef("a")]),
        store.read([organizationRef("a")], { follow }),
        store.read([organizationRef("a")]),
      ]);
      expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    });

    must("finds the aggregate that holds a key, in the same view", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      await store.execute(addUser("u"));
      await store.execute(passToken({ to: "u", tokenId: "t" }));
      const digest: UniqueKey = { kind: "token_digest", value: "digest of t" };
      const view = await store.read([name("ACME"), digest]);
      expect(view.find(name("ACME"))).toEqual({
        ref: organizationRef("a"),
        version: 1,
        position: 1,
        state: { name: "ACME", removed: false },
      });
      expect(view.find(digest)?.ref).toEqual(userRef("u"));
      expect(view.get(userRef("u")).version).toBe(2);
    });

    must("tells keys apart by letter case and by every code point", async ({ store }) => {
      const names = ["ACME", "acme", "Ünï", "U\u0308nï", "株式会社", "🏰", "a\nb", "o'b\"c\\d%_", "nul\0end", " ", ""];
      await Promise.all(names.map((value, index) => store.execute(addOrganization(`id-${index}`, value))));
      const view = await store.read(names.map(name));
      const found = names.map((value) => [value, view.find(name(value))?.ref.id, view.find(name(value))?.state]);
      expect(found).toEqual(names.map((value, index) => [value, `id-${index}`, { name: value, removed: false }]));
    });

    must("no longer finds a removed aggregate by its key, and still by its id", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      await store.execute(removeOrganization("a"));
      const view = await store.read([name("ACME"), organizationRef("a")]);
      expect(view.find(name("ACME"))).toBeUndefined();
      expect(view.get(organizationRef("a"))).toMatchObject({ version: 2, state: { removed: true } });
    });

    must("throws when a view is asked for what was not read", async ({ store }) => {
      await store.execute(addOrganization("a", "ACME"));
      const view = await store.read([organizationRef("b")]);
      expect(() => view.get(organizationRef("a"))).toThrow("organization a is not among the reads");
      expect(() => view.find(name("ACME"))).toThrow("not among the reads");
    });

    must("shows all changes of a command or none, while commands are running", async ({ store }) => {
      await store.execute(addUser("a"));
      await store.execute(addUser("b"));
      await store.execute(passToken({ to: "a", tokenId: "t" }));
      let running = true;
      const writing = (async () => {
        for (let round = 0; round < 40; round++) {
          const [from, to] = round % 2 === 0 ? ["a", "b"] : ["b", "a"];
          await store.execute(passToken({ from, to, tokenId: "t" } as never));
        }
      })().finally(() => {
        running = false;
      });
      let last = 0;
      while (running) {
        const view = await store.read([userRef("a"), userRef("b"), { kind: "token_id", value: "t" }]);
        const holders = (["a", "b"] as const).filter((id) => view.get(userRef(id)).state?.tokens.length === 1);
        expect(holders).toEqual([view.find({ kind: "token_id", value: "t" })?.ref.id]);
        expect(view.position).toBeGreaterThanOrEqual(last);
        last = view.position;
        await new Promise((resolve) => setImmediate(resolve));
      }
      await writing;
    });
  });

  describe("list", () => {
    must("returns every aggregate of the type by id, removed ones included", async ({ store }) => {
      expect(await store.list("organization")).toEqual([]);
      for (const id of ["b", "a", "c"]) await store.execute(addOrganization(id));
      await store.execute(addUser("u"));
      await store.execute(removeOrganization("b"));
      const listed = await store.list("organization");
      expect(listed.map(({ ref, version, state }) => [ref.id, version, state?.removed])).toEqual([
        ["a", 1, false],
        ["b", 2, true],
        ["c", 1, false],
      ]);
      expect(await store.list("instance")).toEqual([]);
    });
  });
}
