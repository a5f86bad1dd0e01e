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
import { createCallerCache, maxCachedTokens } from "./caller-cache.ts";
import { describeAudience, isAccessToken, isForAudience, otherClaims, subjectMissing } from "./checks.ts";
import { type OutsideCaller, readCaller } from "./claims.ts";
import { describeFailure } from "./failure.ts";
import { createIssuerFetch } from "./http.ts";
import type { Metadata } from "./metadata.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

const maxBytes = 64 * 1024;
const maxInFlight = 32;
/** Invented tokens must not take every place: a good one waits its turn, but not for an issuer that cannot keep up. */
const maxWaiting = 1000;
const maxWaitMs = 2_000;
const inactiveForMs = 10_000;

/** Asks one issuer about opaque tokens (RFC 7662). */
export interface Introspection {
  /** Whether the last question was not answered. */
  readonly isFailing: boolean;
  /** Who a token speaks for by an answer that still counts; undefined where there is none. */
  recall(digest: string): OutsideCaller | undefined;
  /**
   * Who a token speaks for; undefined where the issuer does not vouch for it, which counts for 10 s. Equal concurrent
   * questions share one request. Rejects with an AuthError `issuer_unavailable` where the issuer could not be asked, also
   * because it cannot keep up: 32 questions are asked at once, and 1000 wait, each for 2 s at most.
   */
  ask(token: string): Promise<OutsideCaller | undefined>;
}

export function createIntrospection(options: {
  readonly settings: OutsideIssuerSettings;
  readonly client: NonNullable<OutsideIssuerSettings["introspection"]>;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
  /** Gets why a token that the issuer vouches for is refused. */
  readonly refuse: (reason: string) => void;
}): Introspection {
  const { settings, client, metadata, clock, report, refuse } = options;
  const active = createCallerCache(clock);
  // Apart, so that invented tokens do not push out good ones.
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
      // The place goes to the next at once, so that nobody who comes now is faster.
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
        report(describeFailure(error, { url: settings.url, wanted: "an answer about a token" }));
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
      // Our fetch decides about this.
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
