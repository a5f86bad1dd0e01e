import type { RecordRef, Store, StoreRecord } from "../store/store.ts";

/** A key that signs ID tokens, or signed them earlier. */
export interface SigningKey {
  readonly kid: string;
  /** Milliseconds since 1970 UTC. */
  readonly createdAt: number;
  /** When a newer key replaced it; absent: it is the current key. */
  readonly replacedAt?: number;
  /** RSA, with the private half (RFC 7517). */
  readonly jwk: Readonly<Record<string, unknown>>;
}

export interface IssuerKeys {
  /** The current key first. */
  readonly signing: readonly SigningKey[];
  /** Signs cookies. */
  readonly cookieSecret: string;
}

/** Longer than an ID token lives (one hour) and than clients cache the key set. */
const publishedAfterReplacementMs = 24 * 60 * 60 * 1000;

// A record, not events: the history would keep private keys forever.
const issuerKeysRef: RecordRef = { record: "issuer_keys", id: "current" };

const toKeys = (record: StoreRecord | undefined): IssuerKeys | undefined => record?.value as IssuerKeys | undefined;

/** The issuer's keys; undefined before its first request. */
export async function readIssuerKeys(store: Store): Promise<IssuerKeys | undefined> {
  return toKeys((await store.read([issuerKeysRef])).record(issuerKeysRef));
}

/** The keys that still verify signatures, the current one first. */
export const publishedKeys = ({ signing }: IssuerKeys, now: number): readonly SigningKey[] =>
  signing.filter(({ replacedAt }) => replacedAt === undefined || replacedAt > now - publishedAfterReplacementMs);

/** Stores these keys unless the issuer has keys. Resolves to the stored ones, which are the same for concurrent callers. */
export async function provideIssuerKeys(store: Store, fresh: IssuerKeys): Promise<IssuerKeys> {
  const { value } = await store.execute({
    actor: "issuer",
    reads: [issuerKeysRef],
    decide(view) {
      const kept = toKeys(view.record(issuerKeysRef));
      if (kept !== undefined) return { changes: [], value: kept };
      return { changes: [], records: [{ ref: issuerKeysRef, to: { value: fresh } }], value: fresh };
    },
  });
  return value;
}

/**
 * Makes `fresh` the current key. Earlier keys stay published for one day. With `atOnce` they go now: everything they signed
 * becomes invalid, and people sign in again. Resolves to all keys.
 */
export async function rotateSigningKey(
  store: Store,
  { fresh, atOnce }: { readonly fresh: IssuerKeys; readonly atOnce: boolean },
): Promise<IssuerKeys> {
  const now = fresh.signing[0]?.createdAt ?? 0;
  const { value } = await store.execute({
    actor: "issuer",
    reads: [issuerKeysRef],
    decide(view) {
      const before = toKeys(view.record(issuerKeysRef));
      const earlier = before === undefined || atOnce ? [] : publishedKeys(before, now);
      const keys: IssuerKeys = {
        signing: [...fresh.signing, ...earlier.map((key) => ({ ...key, replacedAt: key.replacedAt ?? now }))],
        // A leak of the key may include the cookie secret, which is stored beside it.
        cookieSecret: atOnce ? fresh.cookieSecret : (before?.cookieSecret ?? fresh.cookieSecret),
      };
      return { changes: [], records: [{ ref: issuerKeysRef, to: { value: keys } }], value: keys };
    },
  });
  return value;
}
