import { LRUCache } from "lru-cache";
import {
  allowInsecureRequests,
  ClientSecretBasic,
  customFetch,
  introspectionRequest,
  processIntrospectionResponse,
} from "oauth4webapi";
import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { digestToken } from "../token.ts";
import { describeAudience, isAccessToken, isForAudience, otherClaims, subjectMissing } from "./access-token.ts";
import { createCallerCache, maxCachedTokens } from "./caller-cache.ts";
import { type OutsideCaller, readCaller } from "./claims.ts";
import { describeFailure } from "./issuer-error.ts";
import { createIssuerFetch } from "./issuer-fetch.ts";
import type { Metadata } from "./metadata.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

const maxBytes = 64 * 1024;
const maxInFlight = 32;
/** Bounds the queue: invented tokens must not fill it, and an issuer that cannot keep up is not waited for. */
const maxWaiting = 1000;
const maxWaitMs = 2_000;
const inactiveForMs = 10_000;

/** Asks one issuer about opaque tokens (RFC 7662). */
export interface Introspection {
  /** Whether the last request failed. */
  readonly isFailing: boolean;
  /** The caller of a token from the cache. */
  recall(digest: string): OutsideCaller | undefined;
  /**
   * The caller of a token; undefined for an inactive token, which is cached for 10 s. Concurrent calls for one token share a
   * request. Rejects with an AuthError `issuer_unavailable` if the issuer does not answer or cannot keep up: 32 requests run
   * at once, and 1000 wait, each at most 2 s.
   */
  ask(token: string): Promise<OutsideCaller | undefined>;
}

export function createIntrospection(options: {
  readonly settings: OutsideIssuerSettings;
  readonly client: NonNullable<OutsideIssuerSettings["introspection"]>;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
  /** Receives the reason for each refused token that is active. */
  readonly refuse: (reason: string) => void;
}): Introspection {
  const { settings, client, metadata, clock, report, refuse } = options;
  const active = createCallerCache(clock);
  // A separate cache, so that invented tokens do not evict good ones.
  const inactiveUntil = new LRUCache<string, number>({ max: maxCachedTokens });
  const pending = new Map<string, Promise<OutsideCaller | undefined>>();
  const waiting = new Set<() => void>();
  let inFlight = 0;
  let isFailing = false;

  async function inTurn<T>(ask: () => Promise<T>): Promise<T> {
    if (inFlight >= maxInFlight) await waitForPlace();
    else inFlight += 1;
    try {
      return await ask();
    } finally {
      // Passes the place on directly, so that a later call cannot take it.
      const [next] = waiting;
      if (next === undefined) inFlight -= 1;
      else next();
    }
  }

  function waitForPlace(): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = () => {
        clearTimeout(timer);
        waiting.delete(take);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(take);
        reject(new AuthError("issuer_unavailable"));
      }, maxWaitMs);
      waiting.add(take);
    });
  }

  async function question(token: string, digest: string): Promise<OutsideCaller | undefined> {
    try {
      const claims = await introspect(token);
      isFailing = false;
      const now = clock();
      const isGood = claims.active && isAccessToken(claims, { settings, now });
      const caller = isGood ? readCaller(claims, settings) : undefined;
      if (claims.active && caller === undefined) refuse(isGood ? subjectMissing : describe(claims.aud, settings));
      if (caller === undefined) inactiveUntil.set(digest, now + inactiveForMs);
      else active.set(digest, caller, claims.exp);
      return caller;
    } catch (error) {
      isFailing = true;
      if (!(error instanceof AuthError)) {
        report(describeFailure(error, { url: settings.url, wanted: "an introspection" }));
      }
      throw new AuthError("issuer_unavailable");
    }
  }

  async function introspect(token: string) {
    const server = await metadata.get();
    const who = { client_id: client.clientId };
    const response = await introspectionRequest(server, who, ClientSecretBasic(client.clientSecret), token, {
      additionalParameters: { token_type_hint: "access_token" },
      [customFetch]: createIssuerFetch({ issuer: settings.url, maxBytes }),
      // Our own fetch checks this.
      [allowInsecureRequests]: true,
    });
    return await processIntrospectionResponse(server, who, response);
  }

  return {
    get isFailing() {
      return isFailing;
    },
    recall: (digest) => active.get(digest),
    async ask(token) {
      const digest = digestToken(token);
      const cached = active.get(digest);
      if (cached !== undefined) return cached;
      if (clock() < (inactiveUntil.get(digest) ?? 0)) return undefined;
      const same = pending.get(digest);
      if (same !== undefined) return await same;
      if (pending.size >= maxInFlight + maxWaiting) throw new AuthError("issuer_unavailable");
      const asked = inTurn(() => question(token, digest)).finally(() => pending.delete(digest));
      pending.set(digest, asked);
      return await asked;
    },
  };
}

const describe = (aud: unknown, settings: OutsideIssuerSettings): string =>
  isForAudience(aud, settings) ? otherClaims : describeAudience(aud, settings);
