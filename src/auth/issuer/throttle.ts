import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { type Bucket, createBuckets, type Limit, maxKeys, type ThrottleClock, takeFromAll } from "../rate-limits.ts";
import { createAddressBuckets, networksOf } from "./address-buckets.ts";

export interface Attempt {
  /** The IP address of the client. All other texts count as one address. */
  readonly address: string;
  /** The user name in one spelling: names that the sign-in takes for the same must be equal here. */
  readonly user: string;
}

/** Limits password guesses. */
export interface Throttle {
  /**
   * Call it before the password check. `retryAfterMs` is 0 for an allowed attempt, which counts at once, so that concurrent
   * attempts have the same limit as successive ones. Otherwise it is the milliseconds until an attempt is allowed, unless
   * another one comes first. `isFamiliar` is whether the address had a successful sign-in recently.
   */
  take(attempt: Attempt): { readonly retryAfterMs: number; readonly isFamiliar: boolean };
  /** Takes back a counted attempt after a correct password, and makes the user and the address familiar. */
  succeeded(attempt: Attempt): void;
}

/** Limits the failures of an address without a user, such as wrong client secrets. */
export interface AddressThrottle {
  /** As for a sign-in: an allowed attempt counts at once. */
  take(address: string): { readonly retryAfterMs: number };
  /** Takes back a counted attempt that did not fail, and makes the address familiar. */
  succeeded(address: string): void;
}

// Generous, because an office or a mobile network may share one address.
const perAddress: Limit = { capacity: 20, refillMs: 6_000 };
const perUser: Limit = { capacity: 10, refillMs: 30_000 };

/**
 * Creates a throttle for sign-ins. Every attempt counts against its address (`address-buckets.ts`): 20, and one more every
 * 6 seconds. It also counts against its user: 10, and one more every 30 seconds, shared by all addresses where the user never
 * signed in. An address where they did has a separate count, so that strangers who guess a password do not lock out the user.
 *
 * Each process counts for itself, in memory. Each cache keeps the 10,000 keys that were used last, so evicting the count of one
 * user costs as many attempts on others, from hundreds of addresses.
 */
export function createThrottle({ clock }: { readonly clock: ThrottleClock }): Throttle {
  const addresses = createAddressBuckets({ clock, ...perAddress });
  const users = createBuckets(clock);
  const familiarUsers = createBuckets(clock);
  const familiar = new LRUCache<string, true>({ max: maxKeys });

  function bucketsOf({ address, user }: Attempt): readonly Bucket[] {
    const pair = pairKey(address, user);
    const isKnown = familiar.get(pair) === true;
    return [...addresses.of(address), isKnown ? familiarUsers.at(pair, perUser) : users.at(shorten(user), perUser)];
  }

  return {
    take(attempt) {
      const isFamiliar = addresses.isFamiliar(attempt.address);
      return { retryAfterMs: takeFromAll(bucketsOf(attempt)), isFamiliar };
    },
    succeeded(attempt) {
      for (const bucket of bucketsOf(attempt)) bucket.giveBack();
      addresses.makeFamiliar(attempt.address);
      familiar.set(pairKey(attempt.address, attempt.user), true);
    },
  };
}

/** Creates a throttle that allows `capacity` failures of an address, and one more every `refillMs`. */
export function createAddressThrottle(options: Limit & { readonly clock: ThrottleClock }): AddressThrottle {
  const addresses = createAddressBuckets(options);
  return {
    take: (address) => ({ retryAfterMs: takeFromAll(addresses.of(address)) }),
    succeeded(address) {
      for (const bucket of addresses.of(address)) bucket.giveBack();
      addresses.makeFamiliar(address);
    },
  };
}

const pairKey = (address: string, user: string): string => shorten(`${networksOf(address)[0]} ${user}`);

/** Bounds the length of a key. A digest is longer than any shorter text, so the two never collide. */
function shorten(text: string): string {
  return text.length < 64 ? text : createHash("sha256").update(text).digest("hex");
}
