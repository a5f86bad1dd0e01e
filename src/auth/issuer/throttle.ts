import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { type Bucket, createBuckets, type Limit, maxKeys, type ThrottleClock, takeFromAll } from "../rate-limits.ts";
import { createAddressBuckets, networksOf } from "./address-buckets.ts";

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
   * than of many in a row; one that is refused is not counted. `isFamiliar` says whether somebody signed in from there lately.
   */
  take(attempt: Attempt): { readonly retryAfterMs: number; readonly isFamiliar: boolean };
  /** Gives a counted attempt back, because its password was right, and from now on knows the user and the address. */
  succeeded(attempt: Attempt): void;
}

/** Limits how often an address fails at something without a user, such as a client's secret. */
export interface AddressThrottle {
  /** As for a sign-in: an attempt that may go on is counted at once. */
  take(address: string): { readonly retryAfterMs: number };
  /** Gives a counted attempt back, because it did not fail, and from now on knows the address. */
  succeeded(address: string): void;
}

// Generous, since an office or a mobile network may share one address.
const perAddress: Limit = { capacity: 20, refillMs: 6_000 };
const perUser: Limit = { capacity: 10, refillMs: 30_000 };

/**
 * Creates a throttle for sign-ins. Every attempt counts against its address: 20, and one more every 6 seconds; and in IPv6 against
 * the /56 and /48 around it, twice and three times as many (`address-buckets.ts`). It also counts
 * against its user: 10, and one more every 30 seconds, shared by all addresses where that user never signed in. An address
 * where they did has a count of its own instead, so strangers who guess a user's password slow down each other and never the
 * user at their usual place.
 *
 * Kept in memory: each process counts for itself and forgets at its end. Of each kind the 10 000 keys used last are kept; who
 * wants one user forgotten has to spend as many attempts on others, from hundreds of addresses. A clock that goes back neither
 * gives nor takes an attempt.
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

/** Creates a throttle that allows `capacity` failures of an address, and one more every `refillMs`. Bounded as the other one. */
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

/** Keys of bounded length. A digest is longer than any text that is kept as it is, so the two are never mistaken. */
function shorten(text: string): string {
  return text.length < 64 ? text : createHash("sha256").update(text).digest("hex");
}
