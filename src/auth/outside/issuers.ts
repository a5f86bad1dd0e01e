import type { LimitedLog } from "../../process/limited-log.ts";
import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { digestToken, isTokenText } from "../token.ts";
import { subjectMissing } from "./access-token.ts";
import { createCallerCache } from "./caller-cache.ts";
import { type OutsideCaller, readCaller } from "./claims.ts";
import { createIntrospection, type Introspection } from "./introspection.ts";
import { isJwt, readIssuer, verifyJwt } from "./jwt.ts";
import { createKeys } from "./keys.ts";
import { createMetadata } from "./metadata.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** Identifies the callers of outside issuers by their access tokens. */
export interface OutsideIssuers {
  /**
   * Resolves to undefined for a foreign, invalid or expired token. Rejects only with an AuthError `issuer_unavailable`, if the
   * issuer that could check the token does not answer.
   */
  identify(token: string): Promise<OutsideCaller | undefined>;
}

/** Most servers limit headers to this size. */
const maxTokenLength = 8192;

/** A reason may contain a claim of any length. */
const maxReasonLength = 400;

interface Options {
  readonly clock: Clock;
  /** Receives an Error for each failed request to an issuer. It names the issuer and quotes no answer. */
  readonly report: (reason: unknown) => void;
  /** Receives the reasons for refused tokens. */
  readonly limitedLog: LimitedLog;
}

interface Issuer {
  readonly settings: OutsideIssuerSettings;
  readonly findKey: ReturnType<typeof createKeys>;
  readonly introspection?: Introspection;
}

/** Sends no request to an issuer before a token needs it. A valid token is cached until it expires, at most for 60 s. */
export function createOutsideIssuers(settings: readonly OutsideIssuerSettings[], options: Options): OutsideIssuers {
  const { clock, limitedLog } = options;
  const issuers = settings.map((one) => createIssuer(one, { ...options, refuse: (reason) => refuse(one.url, reason) }));
  const introspections = issuers.flatMap(({ introspection }) => introspection ?? []);
  const verified = createCallerCache(clock);

  function refuse(issuer: string | undefined, reason: string): void {
    const fields = { issuer, reason: reason.slice(0, maxReasonLength) };
    limitedLog("token refused", "info", fields, "token of an outside issuer refused");
  }

  async function identifyJwt(token: string): Promise<OutsideCaller | undefined> {
    const digest = digestToken(token);
    const cached = verified.get(digest);
    if (cached !== undefined) return cached;

    const named = readIssuer(token);
    const issuer = issuers.find(({ settings: { url } }) => url === named);
    if (issuer === undefined) {
      refuse(undefined, `its iss is ${JSON.stringify(named)}, which is not exactly the URL of any --oidc-issuer`);
      return undefined;
    }
    const { url } = issuer.settings;
    const claims = await verifyJwt(token, { ...issuer, clock, refuse: (reason) => refuse(url, reason) });
    if (claims === undefined) return undefined;
    const caller = readCaller(claims, issuer.settings);
    if (caller === undefined) refuse(url, subjectMissing);
    else verified.set(digest, caller, claims.exp);
    return caller;
  }

  async function identifyOpaque(token: string): Promise<OutsideCaller | undefined> {
    const digest = digestToken(token);
    for (const introspection of introspections) {
      const cached = introspection.recall(digest);
      if (cached !== undefined) return cached;
    }
    let isAnyUnavailable = false;
    // One after another, so that an issuer does not see the token of another one. Failing issuers come last, so that tokens of
    // the others do not wait for them.
    for (const introspection of introspections.toSorted((a, b) => Number(a.isFailing) - Number(b.isFailing))) {
      try {
        const caller = await introspection.ask(token);
        if (caller !== undefined) return caller;
      } catch (error) {
        if (!(error instanceof AuthError)) throw error;
        isAnyUnavailable = true;
      }
    }
    if (isAnyUnavailable) throw new AuthError("issuer_unavailable");
    return undefined;
  }

  return {
    async identify(token) {
      if (token.length > maxTokenLength || !isTokenText(token)) return undefined;
      return await (isJwt(token) ? identifyJwt(token) : identifyOpaque(token));
    },
  };
}

function createIssuer(
  settings: OutsideIssuerSettings,
  { clock, report, refuse }: Pick<Options, "clock" | "report"> & { readonly refuse: (reason: string) => void },
): Issuer {
  const { url, introspection: client } = settings;
  const metadata = createMetadata({ url, clock, report });
  return {
    settings,
    findKey: createKeys({ url, metadata, clock, report }),
    ...(client && { introspection: createIntrospection({ settings, client, metadata, clock, report, refuse }) }),
  };
}
