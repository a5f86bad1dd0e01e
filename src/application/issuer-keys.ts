import type { RecordRef, Store, StoreRecord } from "../store/store.ts";

/** A key that the issuer signs, or signed, ID tokens with. */
export interface SigningKey {
  readonly kid: string;
  /** Milliseconds since 1970 UTC. */
  readonly createdAt: number;
  /** When another took its place; absent: it signs. */
  readonly replacedAt?: number;
  /** RSA, with its private half (RFC 7517). */
  readonly jwk: Readonly<Record<string, unknown>>;
}

export interface IssuerKeys {
  /** The newest, which signs, first. */
  readonly signing: readonly SigningKey[];
  /** For the signature of cookies. */
  readonly cookieSecret: string;
}

/** Long enough for everything that a replaced key signed to end (an ID token lives an hour), and for caches of the key set. */
const keptMs = 24 * 60 * 60 * 1000;

// A record rather than events: the history would keep private keys for good.
const issuerKeysRef: RecordRef = { record: "issuer_keys", id: "current" };

const toKeys = (record: StoreRecord | undefined): IssuerKeys | undefined => record?.value as IssuerKeys | undefined;

/** The issuer's keys; undefined before its first start. */
export async function readIssuerKeys(store: Store): Promise<IssuerKeys | undefined> {
  return toKeys((await store.read([issuerKeysRef])).record(issuerKeysRef));
}

/** The keys by which a signature may still be checked, the one that signs first. */
export const publishedKeys = ({ signing }: IssuerKeys, now: number): readonly SigningKey[] =>
  signing.filter(({ replacedAt }) => replacedAt === undefined || replacedAt > now - keptMs);

/** Keeps these keys as the issuer's where it has none yet. Resolves to the ones it has; of several at once, all get the same. */
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
 * Makes `fresh` the key that signs. Those before it stay published for a day, unless `atOnce`: then what they signed is
 * refused from now on, and people sign in again. Resolves to all keys.
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
        // It was kept beside the key that leaked.
        cookieSecret: atOnce ? fresh.cookieSecret : (before?.cookieSecret ?? fresh.cookieSecret),
      };
      return { changes: [], records: [{ ref: issuerKeysRef, to: { value: keys } }], value: keys };
    },
  });
  return value;
}
