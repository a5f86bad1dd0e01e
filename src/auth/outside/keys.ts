import { createLocalJWKSet, errors, type FlattenedJWSInput, type JWSHeaderParameters } from "jose";
import type { Clock } from "../../store/store.ts";
import { AuthError } from "../errors.ts";
import { describeFailure, IssuerError } from "./failure.ts";
import { createHeld } from "./held.ts";
import { createIssuerFetch } from "./http.ts";
import type { Metadata } from "./metadata.ts";

type LocalKeys = ReturnType<typeof createLocalJWKSet>;
type Key = Awaited<ReturnType<LocalKeys>>;

const maxBytes = 1024 * 1024;

/**
 * The keys of an issuer: finds the one that a token names. A key that is not held is looked for at the issuer, at most once
 * in 30 s, so tokens with invented names do not become requests. Rejects with jose's error where the issuer has no such
 * key, and with an AuthError `issuer_unavailable` where it could not be asked.
 */
export function createKeys(options: {
  readonly url: string;
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly report: (reason: unknown) => void;
}): (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<Key> {
  const { url, metadata, clock, report } = options;
  // jose's remote key set would wait by the machine's clock, and not at all after a failure.
  const keys = createHeld({ load, clock });

  async function load(): Promise<LocalKeys> {
    const { jwks_uri: address } = await metadata.get();
    try {
      if (typeof address !== "string") throw new IssuerError("its discovery document names no address for keys");
      return await fetchKeys(address, url);
    } catch (error) {
      report(describeFailure(error, { url, wanted: "its keys" }));
      // They may have moved; the next attempt goes to the new address.
      void metadata.refresh();
      throw error;
    }
  }

  return async (header, token) => {
    const held = await keys.get();
    try {
      return await held(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
    }
    if (!(await keys.refresh())) throw new AuthError("issuer_unavailable");
    return (await keys.get())(header, token);
  };
}

async function fetchKeys(address: string, issuer: string): Promise<LocalKeys> {
  const fetchFromIssuer = createIssuerFetch({ issuer, maxBytes });
  const headers = { accept: "application/json, application/jwk-set+json" };
  const response = await fetchFromIssuer(address, { method: "GET", headers });
  if (response.status !== 200) throw new IssuerError(`it answers with status ${response.status}`);
  return createLocalJWKSet((await response.json()) as Parameters<typeof createLocalJWKSet>[0]);
}
