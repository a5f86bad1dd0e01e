import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWSHeaderParameters } from "jose";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { digestToken } from "../token.ts";
import { createCachedDocument } from "./cached-document.ts";
import { describeFailure, IssuerError } from "./issuer-error.ts";
import { createIssuerFetch } from "./issuer-fetch.ts";
import type { Metadata } from "./metadata.ts";

type LocalKeys = ReturnType<typeof createLocalJWKSet>;
type Key = Awaited<ReturnType<LocalKeys>>;

const maxBytes = 1024 * 1024;

/** A client that keeps using a token of a removed key must not use up the refreshes that new keys need. */
const unknownForMs = 5_000;
const maxUnknown = 1000;

/**
 * Finds the key of an issuer for a token. A key that is not cached is fetched at once, within the limits of
 * `CachedDocument.refresh`, so that invented key ids cause few requests. Rejects with jose's error if the issuer had no such
 * key within the last 5 s, and with an AuthError `issuer_unavailable` if it does not answer.
 */
export function createKeys(options: {
  readonly url: string;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
}): (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<Key> {
  const { url, metadata, clock, report } = options;
  // jose's remote key set uses the machine's clock, and retries at once after a failure.
  const keys = createCachedDocument({ load, clock });

  async function load(): Promise<LocalKeys> {
    const { jwks_uri: address } = await metadata.get();
    try {
      if (typeof address !== "string") throw new IssuerError("its discovery document has no address of keys");
      return await fetchKeys(address, url);
    } catch (error) {
      report(describeFailure(error, { url, wanted: "its keys" }));
      // The key set may have a new address.
      void metadata.refresh();
      throw error;
    }
  }

  const unknownUntil = new LRUCache<string, number>({ max: maxUnknown });

  return async (header, token) => {
    const find = async (): Promise<Key | errors.JWKSNoMatchingKey> => {
      try {
        return await (await keys.get())(header, token);
      } catch (error) {
        if (error instanceof errors.JWKSNoMatchingKey) return error;
        throw error;
      }
    };
    const held = await find();
    if (!(held instanceof errors.JWKSNoMatchingKey)) return held;

    const name = digestToken(`${header.alg} ${header.kid}`);
    if (clock() < (unknownUntil.get(name) ?? 0)) throw held;
    // The attempt in progress may have begun before the issuer had this key, so a failure to find it is not final.
    const { pending } = keys;
    if (pending !== undefined) {
      if (!(await pending)) throw new AuthError("issuer_unavailable");
      const found = await find();
      if (!(found instanceof errors.JWKSNoMatchingKey)) return found;
    }
    if (!(await keys.refresh())) throw new AuthError("issuer_unavailable");
    const found = await find();
    if (!(found instanceof errors.JWKSNoMatchingKey)) return found;
    unknownUntil.set(name, clock() + unknownForMs);
    throw found;
  };
}

async function fetchKeys(address: string, issuer: string): Promise<LocalKeys> {
  const fetchFromIssuer = createIssuerFetch({ issuer, maxBytes });
  const headers = { accept: "application/json, application/jwk-set+json" };
  const response = await fetchFromIssuer(address, { method: "GET", headers });
  if (response.status !== 200) throw new IssuerError(`it answers with status ${response.status}`);
  return createLocalJWKSet((await response.json()) as Parameters<typeof createLocalJWKSet>[0]);
}
