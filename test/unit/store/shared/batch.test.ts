import { expect, test } from "vitest";
import { evolve, uniqueKeysOf } from "../../../../src/domain/evolve.ts";
import { upcast } from "../../../../src/domain/upcast.ts";
import { decideBatch } from "../../../../src/store/shared/batch.ts";
import type { Moment } from "../../../../src/store/shared/view.ts";
import type { Projection } from "../../../../src/store/store.ts";
import { addOrganization } from "../../../store/fixtures/commands.ts";

const empty: Moment = {
  position: 0,
  recordedAt: 0,
  load: (ref) => ({ ref, version: 0, position: 0, state: undefined }),
  findHolder: () => undefined,
  loadRecord: () => undefined,
};

test("a command whose unique keys cannot be told fails alone", async () => {
  const failure = new Error("no keys");
  const projection: Projection = {
    evolve,
    upcast,
    uniqueKeysOf(type, state) {
      const keys = uniqueKeysOf(type, state);
      if (keys.some(({ value }) => value === "b")) throw failure;
      return keys;
    },
  };
  const commands = ["a", "b", "c"].map((id) => addOrganization(id));
  const { endings, writes } = decideBatch(commands, { before: empty, projection, clock: () => 0 });
  expect(endings.map(({ kind }) => kind)).toEqual(["done", "failed", "done"]);
  expect(endings[1]).toMatchObject({ error: failure });
  expect(writes.events.map(({ ref, position }) => [ref.id, position])).toEqual([
    ["a", 1],
    ["c", 2],
  ]);
});
