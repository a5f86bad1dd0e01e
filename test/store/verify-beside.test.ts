import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef } from "../../src/store/store.ts";

describe.each(["memory:", "a file"])("verify and rebuild beside other calls, %s", (kind) => {
  it("disturb no read and no write", async () => {
    const directory = mkdtempSync(join(tmpdir(), "portcullis-verify-"));
    const store = await openStore({ location: kind === "memory:" ? kind : `sqlite:${join(directory, "x.db")}` });
    const add = (id: string) =>
      store.execute({
        actor: "cli",
        reads: [organizationRef(id)],
        decide: () => ({
          changes: [
            { ref: organizationRef(id), events: [{ type: "OrganizationAdded", version: 1, payload: { name: id } }] },
          ],
          value: id,
        }),
      });
    try {
      for (let index = 0; index < 20; index++) await add(`before ${index}`);
      const calls: Promise<unknown>[] = [];
      for (let index = 0; index < 50; index++) {
        calls.push(index % 2 === 0 ? store.verify() : store.rebuild());
        calls.push(store.read([organizationRef("before 1")]), add(`beside ${index}`), store.list("organization"));
        await Promise.resolve();
      }
      await Promise.all(calls);
      expect(await store.verify()).toMatchObject({ problems: [], aggregates: 70 });
    } finally {
      await store.close();
      rmSync(directory, { recursive: true });
    }
  });
});
