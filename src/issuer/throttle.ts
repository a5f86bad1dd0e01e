import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { canonicalAddress } from "../rpc/client-address.ts";

/** Milliseconds since some fixed moment. */
type Clock = () => number;

/** Someone who tries to sign in. */
export interface Attempt {
  /** The client's IP address; whatever else is given counts as one address. */
  readonly address: string;
  /** The user, spelled one way only: letters that the sign-in takes for the same must be the same here. */
  readonly user: string;
}

/** Limits how often passwords are guessed. */
export interface Throttle {
  /**
   * Asks for an attempt before its password is looked at: 0 where it may go on, else the milliseconds until it may, exact
   * unless someone else is faster. An attempt that goes on is counted at once, so that of many at the same time no more pass
   * than of many in a row; one that is refused is not counted.
   */
  take(attempt: Attempt): { readonly retryAfterMs: number };
  /** Gives a counted attempt back, because its password was right, and from now on knows the user at this address. */
  succeeded(attempt: Attempt): void;
}

/** Limits how often an address fails at something without a user, such as a client's secret. */
export interface AddressThrottle {
  /** As for a sign-in: an attempt that may go on is counted at once. */
  take(address: string): { readonly retryAfterMs: number };
  /** Gives a counted attempt back, because it did not fail. */
  succeeded(address: string): void;
}

interface Limit {
  /** How many attempts may come at once. */
  readonly capacity: number;
  /** How long it takes until one more is allowed. */
  readonly refillMs: number;
}

// Generous, since an office or a mobile network may share one address.
const perAddress: Limit = { capacity: 20, refillMs: 6_000 };
const perUser: Limit = { capacity: 10, refillMs: 30_000 };

/** Of each kind of bucket, and of the addresses that users are known at: a few megabytes in all, whatever the load. */
const maxKeys = 10_000;

/**
 * Creates a throttle for sign-ins. Every attempt counts against its address: 20, and one more every 6 seconds. It also counts
 * against its user: 10, and one more every 30 seconds, shared by all addresses where that user never signed in. An address
 * where they did has a count of its own instead, so strangers who guess a user's password slow down each other and never the
 * user at their usual place.
 *
 * Kept in memory: each process counts for itself and forgets at its end. Of each kind the 10 000 keys used last are kept; who
 * wants one user forgotten has to spend as many attempts on others, from hundreds of addresses. A clock that goes back neither
 * gives nor takes an attempt.
 */
export function createThrottle({ clock }: { readonly clock: Clock }): Throttle {
  const addresses = createBuckets({ clock, ...perAddress });
  const users = createBuckets({ clock, ...perUser });
  const familiarUsers = createBuckets({ clock, ...perUser });
  const familiar = new LRUCache<string, true>({ max: maxKeys });

  function bucketsOf({ address, user }: Attempt): readonly Bucket[] {
    const from = addressKey(address);
    const pair = pairKey(from, user);
    const own = familiar.get(pair) === true ? familiarUsers.at(pair) : users.at(shorten(user));
    return [addresses.at(from), own];
  }

  return {
    take(attempt) {
      const buckets = bucketsOf(attempt);
      const retryAfterMs = Math.max(...buckets.map((bucket) => bucket.waitMs()));
      if (retryAfterMs === 0) for (const bucket of buckets) bucket.take();
      return { retryAfterMs };
    },
    succeeded(attempt) {
      for (const bucket of bucketsOf(attempt)) bucket.giveBack();
      familiar.set(pairKey(addressKey(attempt.address), attempt.user), true);
    },
  };
}

/** Creates a throttle that allows `capacity` failures of an address, and one more every `refillMs`. Bounded as the other one. */
export function createAddressThrottle(options: Limit & { readonly clock: Clock }): AddressThrottle {
  const addresses = createBuckets(options);
  return {
    take(address) {
      const bucket = addresses.at(addressKey(address));
      const retryAfterMs = bucket.waitMs();
      if (retryAfterMs === 0) bucket.take();
      return { retryAfterMs };
    },
    succeeded: (address) => addresses.at(addressKey(address)).giveBack(),
  };
}

/** A count of attempts that heals with time. */
interface Bucket {
  /** Milliseconds until it has an attempt; 0 where it has one. */
  waitMs(): number;
  /** Counts an attempt, where it has one. */
  take(): void;
  giveBack(): void;
}

/** Token buckets by key. Only those that are not full are kept. */
function createBuckets({ clock, capacity, refillMs }: Limit & { readonly clock: Clock }): { at(key: string): Bucket } {
  const emptyMs = capacity * refillMs;
  // The time that a bucket needs until it is full, as of a moment. Unlike a count of tokens it is never a fraction.
  const missing = new LRUCache<string, { readonly ms: number; readonly at: number }>({ max: maxKeys });

  /** Brings a bucket up to date, then changes what it misses. */
  function change(key: string, byMs: number): number {
    const at = clock();
    const known = missing.get(key) ?? { ms: 0, at };
    const healed = Math.max(0, known.ms - Math.max(0, at - known.at));
    const ms = Math.max(0, healed + byMs);
    // Also where nothing changed: after the clock went back, the refill goes on from there and not only from the old time.
    if (ms > 0) missing.set(key, { ms, at });
    else missing.delete(key);
    return ms;
  }

  return {
    at: (key) => ({
      waitMs: () => Math.max(0, change(key, 0) + refillMs - emptyMs),
      take: () => void change(key, refillMs),
      giveBack: () => void change(key, -refillMs),
    }),
  };
}

/** IPv4 as it is, IPv6 by its first 64 bits, which is the least that one customer gets. */
function addressKey(address: string): string {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return "unknown";
  if (!canonical.includes(":")) return canonical;
  const [left = "", right = ""] = canonical.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const after = right.split(":").filter((group) => group !== "");
  // One too many where an IPv4 address at the end stands for two groups; that is so far behind that it does not show.
  const zeros = 8 - groups.length - after.length;
  return [...groups, ...Array<string>(zeros).fill("0"), ...after].slice(0, 4).join(":");
}

const pairKey = (addressOfPair: string, user: string): string => shorten(`${addressOfPair} ${user}`);

/** Keys of bounded length. A digest is longer than any text that is kept as it is, so the two are never mistaken. */
function shorten(text: string): string {
  return text.length < 64 ? text : createHash("sha256").update(text).digest("hex");
}
