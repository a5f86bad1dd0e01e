import { expect, it } from "vitest";
import { CachedMoment } from "../../../../src/store/shared/cached-moment.ts";

const notLoaded = (): never => {
  throw new Error("it is not in memory");
};

it("stays small where commits follow each other and nobody reads", () => {
  const moment = new CachedMoment({ load: notLoaded, findHolder: notLoaded, loadRecord: notLoaded });
  const refs = Array.from({ length: 10_000 }, (_, index) => ({ record: "code", id: `${index}` }));
  for (const ref of refs) {
    moment.advance({ events: [], aggregates: [], keyMoves: [], records: [{ ref, to: { value: 1 } }], now: 0 });
  }
  const held = refs.filter((ref) => moment.holds(ref));
  expect(held.length).toBeGreaterThan(0);
  expect(held.length).toBeLessThan(5000);
});
