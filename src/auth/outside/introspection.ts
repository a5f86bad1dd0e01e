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
import { isAccessToken } from "./checks.ts";
import { type OutsideCaller, readCaller } from "./claims.ts";
import { describeFailure } from "./failure.ts";
import { createIssuerFetch } from "./http.ts";
import type { Metadata } from "./metadata.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

const maxBytes = 64 * 1024;
const maxInFlight = 32;
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
   * because 32 questions are waiting for it.
   */
  ask(token: string): Promise<OutsideCaller | undefined>;
}

export function createIntrospection(options: {
  readonly settings: OutsideIssuerSettings;
  readonly client: NonNullable<OutsideIssuerSettings["introspection"]>;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
}): Introspection {
  const { settings, client, metadata, clock, report } = options;
  const active = createCallerCache(clock);
  // Apart, so that invented tokens do not push out good ones.
  const inactiveUntil = new LRUCache<string, number>({ max: maxCachedTokens });
  const pending = new Map<string, Promise<OutsideCaller | undefined>>();
  let isFailing = false;

  async function question(token: string, digest: string): Promise<OutsideCaller | undefined> {
    try {
      const claims = await introspect(token);
      isFailing = false;
      const now = clock();
      const isGood = claims.active && isAccessToken(claims, { settings, now });
      const caller = isGood ? readCaller(claims, settings) : undefined;
      if (caller === undefined) inactiveUntil.set(digest, now + inactiveForMs);
      else active.set(digest, caller, claims.exp);
      return caller;
    } catch (error) {
      isFailing = true;
      if (!(error instanceof AuthError)) {
        report(describeFailure(error, { url: settings.url, wanted: "an answer about a token" }));
      }
      throw new AuthError("issuer_unavailable");
    } finally {
      pending.delete(digest);
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
      if (pending.size >= maxInFlight) throw new AuthError("issuer_unavailable");
      const asked = question(token, digest);
      pending.set(digest, asked);
      return await asked;
    },
  };
}
