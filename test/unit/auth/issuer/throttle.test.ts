import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createAddressThrottle, createThrottle } from "../../../../src/auth/issuer/throttle.ts";

const home = "192.0.2.1";
const user = "ada";

function setUp() {
  let now = 1_000_000;
  const throttle = createThrottle({ clock: () => now });
  let strangers = 0;
  return {
    throttle,
    pass: (ms: number) => {
      now += ms;
    },
    take: (attempt: { address?: string; user?: string } = {}) =>
      throttle.take({ address: home, user, ...attempt }).retryAfterMs,
    /** An address that nobody used before. */
    stranger: () => {
      strangers += 1;
      return `10.${strangers >> 16}.${(strangers >> 8) & 255}.${strangers & 255}`;
    },
  };
}

const times = <T>(count: number, act: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => act(i));
const zeros = (count: number) => Array<number>(count).fill(0);

describe("an address", () => {
  it("has 20 attempts, whoever the users are, and one more every 6 seconds", () => {
    const { take, pass } = setUp();
    expect(times(20, (i) => take({ user: `user${i}` }))).toEqual(zeros(20));
    expect(take({ user: "another" })).toBe(6_000);
    pass(5_999);
    expect(take({ user: "another" })).toBe(1);
    pass(1);
    expect(take({ user: "another" })).toBe(0);
    expect(take({ user: "another" })).toBe(6_000);
  });

  it("refills no further than 20", () => {
    const { take, pass } = setUp();
    take();
    pass(24 * 3_600_000);
    expect(times(21, (i) => take({ user: `user${i}` }))).toEqual([...zeros(20), 6_000]);
  });

  it.each([
    ["two of IPv4", "192.0.2.1", "192.0.2.2", false],
    ["IPv4 and the same mapped into IPv6", "192.0.2.1", "::ffff:192.0.2.1", true],
    ["IPv4 and the same mapped, in hexadecimal", "192.0.2.1", "::FFFF:c000:0201", true],
    ["two mapped ones", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
    ["two of one /64", "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true],
    ["two of neighbouring /64s", "2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["one written in two ways", "2001:db8:0:0:1::1", "2001:0DB8:0000:0000:0001:0:0:1", true],
    ["a zero group in front of the shortened ones", "2001:db8:0:1::", "2001:db8::1:0:0:0:0", true],
    ["the /64s that :: ends and begins", "::1", "0:0:0:1::", false],
    ["the whole /64 of zeros", "::1", "::192.0.2.1", true],
    ["with and without a zone", "fe80::1%eth0", "fe80::1", true],
    ["texts that are no addresses", "unknown", "a b, c", true],
  ])("%s, %s and %s: counted as one is %s", (_, first, second, isOne) => {
    const { take } = setUp();
    times(20, (i) => take({ address: first, user: `user${i}` }));
    expect(take({ address: second, user: "another" })).toBe(isOne ? 6_000 : 0);
  });
});

describe("a network of IPv6", () => {
  const inNetwork = (i: number) => ({ address: `2001:db8:1:${i.toString(16)}::1`, user: `user${i}` });

  it("has 40 attempts in a /56, one more every 3 seconds, and in a /48 60 and one more every 2", () => {
    const { take, pass } = setUp();
    expect(times(41, (i) => take(inNetwork(i)))).toEqual([...zeros(40), 3_000]);
    expect(times(21, (i) => take(inNetwork(0x100 + i)))).toEqual([...zeros(20), 2_000]);
    expect(take({ address: "2001:db8:2::1", user: "another" })).toBe(0);
    pass(2_000);
    expect(times(2, () => take(inNetwork(0x200)))).toEqual([0, 2_000]);
    pass(1_000);
    expect(take(inNetwork(0x300))).toBe(1_000);
  });

  it("keeps 20 for each /64 in it", () => {
    const { take } = setUp();
    times(20, (i) => take({ ...inNetwork(1), user: `user${i}` }));
    expect(take({ ...inNetwork(1), user: "another" })).toBe(6_000);
    expect(take(inNetwork(2))).toBe(0);
  });

  it("holds nobody up who signed in from there lately, from a /64 of theirs", () => {
    const { throttle, take } = setUp();
    const home = inNetwork(0xff);
    take(home);
    throttle.succeeded(home);
    times(1_000, (i) => take(inNetwork(i)));
    expect(take(inNetwork(0xfe))).toBeGreaterThan(0);
    expect(take(home)).toBe(0);
    expect(take({ ...home, user: "a colleague" })).toBe(0);
  });

  it("has as many for all who signed in from there: one with a password has no hundreds of limits", () => {
    const { throttle, take } = setUp();
    times(256, (i) => {
      take({ ...inNetwork(i), user: "mallory" });
      throttle.succeeded({ ...inNetwork(i), user: "mallory" });
    });
    expect(times(41, (i) => take(inNetwork(i)))).toEqual([...zeros(40), 3_000]);
  });

  it("gives back what succeeded", () => {
    const { throttle, take } = setUp();
    times(500, (i) => {
      expect(take(inNetwork(i))).toBe(0);
      throttle.succeeded(inNetwork(i));
    });
  });

  it("loses nothing to attempts that are refused", () => {
    const { take, pass } = setUp();
    times(1_000, (i) => take(inNetwork(i)));
    pass(3_000);
    expect(take(inNetwork(0))).toBe(0);
  });

  it("is not forgotten for a flood of single addresses", () => {
    const { take, stranger } = setUp();
    times(60, (i) => take(inNetwork(i)));
    // More than the 10,000 that are kept.
    times(12_000, (i) => take({ address: stranger(), user: `user${i}` }));
    expect(take(inNetwork(0))).toBeGreaterThan(0);
  });
});

describe("a familiar address", () => {
  it("is one that somebody signed in from, and nobody just tried to", () => {
    const { throttle, take } = setUp();
    const isFamiliar = (address: string) => throttle.take({ address, user: "another" }).isFamiliar;
    take();
    expect(isFamiliar(home)).toBe(false);
    throttle.succeeded({ address: home, user });
    expect([home, "::ffff:192.0.2.1", "192.0.2.2"].map(isFamiliar)).toEqual([true, true, false]);
  });

  it("is forgotten after 10 000 others", () => {
    const { throttle, stranger } = setUp();
    throttle.succeeded({ address: home, user });
    times(9_999, () => throttle.succeeded({ address: stranger(), user }));
    expect(throttle.take({ address: home, user }).isFamiliar).toBe(true);
    times(10_000, () => throttle.succeeded({ address: stranger(), user }));
    expect(throttle.take({ address: home, user }).isFamiliar).toBe(false);
  });
});

describe("a user from addresses where they never signed in", () => {
  it("has 10 attempts, from wherever, and one more every 30 seconds", () => {
    const { take, pass, stranger } = setUp();
    expect(times(11, () => take({ address: stranger() }))).toEqual([...zeros(10), 30_000]);
    pass(29_999);
    expect(take({ address: stranger() })).toBe(1);
    pass(1);
    expect(times(2, () => take({ address: stranger() }))).toEqual([0, 30_000]);
  });

  it("leaves other users alone", () => {
    const { take, stranger } = setUp();
    times(10, () => take({ address: stranger() }));
    expect(take({ address: stranger(), user: "grace" })).toBe(0);
  });

  it.each([
    ["a long name", "a".repeat(1_000_000), `${"a".repeat(999_999)}b`],
    ["a long name and its digest", "a".repeat(100), createHash("sha256").update("a".repeat(100)).digest("hex")],
    ["names with spaces", "1 ada", "ada"],
  ])("are told apart: %s", (_, first, second) => {
    const { take, stranger } = setUp();
    times(10, () => take({ address: stranger(), user: first }));
    expect(take({ address: stranger(), user: first })).toBe(30_000);
    expect(take({ address: stranger(), user: second })).toBe(0);
  });
});

describe("an attempt", () => {
  it("waits for the later of its address and its user", () => {
    const { take, pass } = setUp();
    times(10, () => take());
    times(10, (i) => take({ user: `user${i}` }));
    expect(take()).toBe(30_000);
    pass(30_000);
    expect(take()).toBe(0);
  });

  it("that is refused is not counted: neither against the address nor against the user", () => {
    const { take, pass, stranger } = setUp();
    times(10, () => take({ address: stranger() }));
    expect(times(100, () => take())).toEqual(Array(100).fill(30_000));
    // None of the hundred was taken from the address.
    expect(times(21, (i) => take({ user: `user${i}` }))).toEqual([...zeros(20), 6_000]);
    times(100, () => take({ user: "grace" }));
    // Nor from the user.
    expect(times(11, () => take({ address: stranger(), user: "grace" }))).toEqual([...zeros(10), 30_000]);
    pass(30_000);
    expect(take({ address: stranger() })).toBe(0);
  });

  it("is counted at once, so that of many at the same time no more pass than in a row", () => {
    const { take, stranger } = setUp();
    const answers = times(1_000, () => take({ address: stranger() }));
    expect(answers.filter((retryAfterMs) => retryAfterMs === 0)).toHaveLength(10);
  });

  it("is given back where it succeeded, once", () => {
    const { throttle, take, stranger } = setUp();
    times(9, () => take({ address: stranger() }));
    take();
    throttle.succeeded({ address: home, user });
    expect(times(2, () => take({ address: stranger() }))).toEqual([0, 30_000]);
    expect(times(21, (i) => take({ user: `user${i}` }))).toEqual([...zeros(20), 6_000]);
  });

  it("that succeeded does not give back what failed before", () => {
    const { throttle, take } = setUp();
    // A guesser who signs in as themselves in between gains nothing.
    times(10, (i) => take({ user: `user${i}` }));
    times(30, () => {
      take({ user: "mallory" });
      throttle.succeeded({ address: home, user: "mallory" });
    });
    expect(times(11, (i) => take({ user: `other${i}` }))).toEqual([...zeros(10), 6_000]);
  });

  it("gives back nothing that was never taken", () => {
    const { throttle, take } = setUp();
    times(50, () => throttle.succeeded({ address: home, user }));
    expect(times(11, () => take())).toEqual([...zeros(10), 30_000]);
  });
});

describe("a user at an address where they signed in before", () => {
  function signedIn(address = home) {
    const all = setUp();
    all.take({ address });
    all.throttle.succeeded({ address, user });
    return all;
  }

  it("is not held up by strangers who guess", () => {
    const { take, stranger } = signedIn();
    times(1_000, () => take({ address: stranger() }));
    expect(take({ address: stranger() })).toBe(30_000);
    expect(take()).toBe(0);
  });

  it("has 10 attempts of their own there, and one more every 30 seconds", () => {
    const { take, pass } = signedIn();
    expect(times(11, () => take())).toEqual([...zeros(10), 30_000]);
    pass(30_000);
    expect(times(2, () => take())).toEqual([0, 30_000]);
  });

  it("uses up nothing of what strangers share", () => {
    const { take, stranger } = signedIn();
    times(11, () => take());
    expect(times(11, () => take({ address: stranger() }))).toEqual([...zeros(10), 30_000]);
  });

  it("gets back what succeeded there", () => {
    const { throttle, take } = signedIn();
    times(100, () => {
      expect(take()).toBe(0);
      throttle.succeeded({ address: home, user });
    });
  });

  it("still counts against the address", () => {
    const { take } = signedIn();
    times(20, (i) => take({ user: `user${i}` }));
    expect(take()).toBe(6_000);
  });

  it("is known there alone, and nobody else is", () => {
    const { take, stranger } = signedIn();
    times(10, () => take({ address: stranger() }));
    expect(take({ address: "192.0.2.2" })).toBe(30_000);
    times(10, () => take({ address: stranger(), user: "grace" }));
    expect(take({ user: "grace" })).toBe(30_000);
  });

  it("is known in the whole /64", () => {
    const { take, stranger } = signedIn("2001:db8:1:2::1");
    times(10, () => take({ address: stranger() }));
    expect(take({ address: "2001:db8:1:2:3:4:5:6" })).toBe(0);
    expect(take({ address: "2001:db8:1:3::1" })).toBe(30_000);
  });
});

describe("a flood", () => {
  it("of addresses leaves the number of those that are kept bounded", () => {
    const { take, stranger } = setUp();
    times(20, (i) => take({ user: `user${i}` }));
    expect(take({ user: "another" })).toBe(6_000);
    times(9_999, (i) => take({ address: stranger(), user: `flood${i}` }));
    expect(take({ user: "another" })).toBe(6_000);
    // One more than is kept, since the last look: the oldest is forgotten.
    times(10_000, (i) => take({ address: stranger(), user: `more${i}` }));
    expect(take({ user: "another" })).toBe(0);
  });

  it("of refused attempts makes nobody forgotten", () => {
    const { take, stranger } = setUp();
    times(10, () => take({ address: stranger() }));
    times(20, (i) => take({ user: `user${i}` }));
    times(30_000, (i) => take({ user: `flood${i}` }));
    expect(take({ address: stranger() })).toBe(30_000);
  });

  it("of strangers does not make a user's own address forgotten", () => {
    const { throttle, take, stranger } = setUp();
    take();
    throttle.succeeded({ address: home, user });
    times(30_000, (i) => take({ address: stranger(), user: i % 2 === 0 ? user : `flood${i}` }));
    expect(take()).toBe(0);
  });
});

describe("a clock that goes back", () => {
  it("neither gives nor takes an attempt, and the refill goes on from there", () => {
    const { take, pass, stranger } = setUp();
    times(9, () => take({ address: stranger() }));
    pass(-3_600_000);
    expect(times(2, () => take({ address: stranger() }))).toEqual([0, 30_000]);
    pass(30_000);
    expect(times(2, () => take({ address: stranger() }))).toEqual([0, 30_000]);
  });

  it("never asks for a wait longer than one refill", () => {
    const { take, pass } = setUp();
    times(20, (i) => take({ user: `user${i}` }));
    pass(-3_600_000);
    expect(take({ user: "another" })).toBe(6_000);
    pass(2_000);
    expect(take({ user: "another" })).toBe(4_000);
    pass(-1_000);
    expect(take({ user: "another" })).toBe(4_000);
    pass(4_000);
    expect(take({ user: "another" })).toBe(0);
  });
});

describe("createAddressThrottle", () => {
  function setUpAddresses(options: { capacity?: number; refillMs?: number } = {}) {
    let now = 0;
    const throttle = createAddressThrottle({ clock: () => now, capacity: 3, refillMs: 10_000, ...options });
    return {
      throttle,
      pass: (ms: number) => {
        now += ms;
      },
      take: (address = home) => throttle.take(address).retryAfterMs,
    };
  }

  it("allows an address its attempts, and one more with every refill", () => {
    const { take, pass } = setUpAddresses();
    expect(times(4, () => take())).toEqual([0, 0, 0, 10_000]);
    pass(9_000);
    expect(take()).toBe(1_000);
    pass(1_000);
    expect(times(2, () => take())).toEqual([0, 10_000]);
  });

  it("counts addresses as the other one does", () => {
    const { take } = setUpAddresses();
    times(3, () => take("2001:db8::1"));
    expect(take("2001:db8::2")).toBe(10_000);
    expect(take("2001:db8:0:1::2")).toBe(0);
    times(3, () => take("::ffff:192.0.2.9"));
    expect(take("192.0.2.9")).toBe(10_000);
  });

  it("counts networks of IPv6 as well, and apart for addresses that did not fail lately", () => {
    const { throttle, take } = setUpAddresses();
    const home = "2001:db8:1:ff::1";
    take(home);
    throttle.succeeded(home);
    expect(times(7, (i) => take(`2001:db8:1:${i}::1`))).toEqual([...zeros(6), 5_000]);
    expect(times(4, (i) => take(`2001:db8:1:1${i}00::1`))).toEqual([...zeros(3), 3_334]);
    expect(take(home)).toBe(0);
  });

  it("gives back what succeeded, and nothing of what failed", () => {
    const { throttle, take } = setUpAddresses();
    times(2, () => take());
    times(100, () => {
      expect(take()).toBe(0);
      throttle.succeeded(home);
    });
    expect(times(2, () => take())).toEqual([0, 10_000]);
  });

  it("with room for one only", () => {
    const { take, pass } = setUpAddresses({ capacity: 1, refillMs: 7 });
    expect(times(2, () => take())).toEqual([0, 7]);
    pass(7);
    expect(take()).toBe(0);
  });

  it("keeps a bounded number of addresses", () => {
    const { take } = setUpAddresses();
    times(3, () => take());
    expect(take()).toBe(10_000);
    times(10_000, (i) => take(`10.0.${i >> 8}.${i & 255}`));
    expect(take()).toBe(0);
  });
});
