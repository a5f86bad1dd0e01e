import { describe, expect, it } from "vitest";
import { type Share, Shares } from "../../../../src/rpc/listener/shares.ts";

/** One who gives places up at once, as long as it can. */
function holder(places: Shares, { keeps = 0 } = {}): Share & { lost: number } {
  const share = {
    held: 0,
    lost: 0,
    giveUp() {
      if (share.held <= keeps) return false;
      share.lost += 1;
      places.giveBack(share);
      return true;
    },
  };
  return share;
}

const takeSeveral = (places: Shares, share: Share, count: number): boolean[] =>
  Array.from({ length: count }, () => places.take(share));

describe("places that are shared", () => {
  it("go to whoever asks while there are any", () => {
    const places = new Shares({ most: 3 });
    const one = holder(places);
    expect(takeSeveral(places, one, 4)).toEqual([true, true, true, false]);
    places.giveBack(one);
    expect(places.taken).toBe(2);
    expect(places.take(one)).toBe(true);
  });

  it("are bounded for each, also while there are more", () => {
    const places = new Shares({ most: 10, mostEach: 2 });
    expect(takeSeveral(places, holder(places), 3)).toEqual([true, true, false]);
    expect(takeSeveral(places, holder(places), 3)).toEqual([true, true, false]);
  });

  it("are given up by who holds most, until none holds two more than another", () => {
    const places = new Shares({ most: 6 });
    const [large, small, late] = [holder(places), holder(places), holder(places)];
    takeSeveral(places, large, 5);
    takeSeveral(places, small, 1);
    expect(takeSeveral(places, late, 3)).toEqual([true, true, false]);
    expect([large.held, small.held, late.held]).toEqual([3, 1, 2]);
    expect([large.lost, small.lost]).toEqual([2, 0]);
    expect(places.taken).toBe(6);
  });

  it("are refused where who holds most can give none up", () => {
    const places = new Shares({ most: 3 });
    takeSeveral(places, holder(places, { keeps: 3 }), 3);
    expect(places.take(holder(places))).toBe(false);
    expect(places.taken).toBe(3);
  });

  it("are none where there are none", () => {
    expect(new Shares({ most: 0 }).take({ held: 0, giveUp: () => true })).toBe(false);
  });
});
