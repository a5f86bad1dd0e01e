import { LRUCache } from "lru-cache";
import type { Clock } from "../../store/store.ts";
import type { OutsideCaller } from "./claims.ts";

/** The most tokens in one cache. */
export const maxCachedTokens = 10_000;
const maxAgeMs = 60_000;

/** The callers of tokens by digest, for 60 s after the check and never beyond the expiry of the token. */
export interface CallerCache {
  get(digest: string): OutsideCaller | undefined;
  /** `exp` is the token's claim, in seconds since 1970 UTC. */
  set(digest: string, caller: OutsideCaller, exp: number | undefined): void;
}

export function createCallerCache(clock: Clock): CallerCache {
  const cache = new LRUCache<string, { readonly caller: OutsideCaller; readonly until: number }>({
    max: maxCachedTokens,
  });
  return {
    get(digest) {
      const cached = cache.get(digest);
      return cached !== undefined && clock() < cached.until ? cached.caller : undefined;
    },
    set(digest, caller, exp) {
      const oldest = clock() + maxAgeMs;
      cache.set(digest, { caller, until: exp === undefined ? oldest : Math.min(exp * 1000, oldest) });
    },
  };
}
