import type { UserState } from "../domain/states.ts";
import { clientRef, type RecordRef, type Store, userRef } from "../store/store.ts";
import { apiScope } from "../wire-names.ts";
import { AuthError } from "./errors.ts";
import { digestToken } from "./token.ts";

// The tokens, sessions, grants and codes of the built-in issuer, as records in the store. The issuer writes them and the
// request gate reads them, so a token that ends has ended for both.

/** The public client of tokens that users get with their keys. ZITADEL's SDKs name no client for them. */
export const keyClientId = "portcullis-keys";

/** Ids are decimal digits. A user with a name of digits is a client by id only. */
export const looksLikeId = (text: string): boolean => /^\d+$/.test(text);

/** The fields of oidc-provider's payloads that decide whether a record is still valid. */
export interface IssuedPayload {
  readonly accountId?: string;
  readonly clientId?: string;
  readonly grantId?: string;
  readonly scope?: string;
  readonly consumed?: unknown;
  /** Our own claims of an access token. Introspection shows them. */
  readonly extra?: { readonly sub?: string; readonly key_id?: string };
  /** Whether an access token ends with its session. */
  readonly expiresWithSession?: boolean;
  readonly sessionUid?: string;
  /** The grant of each application in a session. */
  readonly authorizations?: Readonly<Record<string, { readonly grantId?: string }>>;
  /** The result of a sign-in in progress. `passwordSetAt` identifies the password that was checked. */
  readonly result?: { readonly login?: { readonly accountId?: string; readonly passwordSetAt?: number } };
}

/** The value of a record. */
export interface Issued {
  readonly payload: IssuedPayload;
  /** The credential that was checked. The record ends when the user no longer has it. */
  readonly basis?: Basis;
}

/** One password, secret or key of a user. */
export type Basis = `password ${number}` | `secret ${string}` | `key ${string}`;

export const passwordBasis = (setAt: number): Basis => `password ${setAt}`;
export const secretBasis = (digest: string): Basis => `secret ${digest}`;
export const keyBasis = (keyId: string): Basis => `key ${keyId}`;

function stillHas(user: UserState, basis: Basis): boolean {
  const { password, secret, keys = [] } = user;
  const held = [
    ...(password ? [passwordBasis(password.setAt)] : []),
    ...(secret ? [secretBasis(secret.digest)] : []),
    ...keys.map(({ keyId }) => keyBasis(keyId)),
  ];
  return held.includes(basis);
}

/** The record of a session by its uid, which stays the same when the id of the session changes. */
export interface SessionName {
  /** Digest of the session's id. */
  readonly id: string;
  readonly basis?: Basis;
  /** The user has signed out. A request from before must not bring the session back. */
  readonly hasEnded?: boolean;
}

/** The record with this id. The store contains digests of ids only, so a leak of it opens no session. */
export const issuedRef = (model: string, id: string): RecordRef => refByDigest(model, digestToken(id));
/** The record that leads from a session's uid, which tokens contain, to its id. */
export const sessionNameRef = (uid: string): RecordRef => issuedRef("SessionUid", uid);

const refByDigest = (model: string, digest: string): RecordRef => ({ record: `issued_${model}`, id: digest });

/** The user of a payload, if it has one. */
export const ownerOf = (payload: IssuedPayload): string | undefined =>
  payload.accountId ?? payload.extra?.sub ?? payload.result?.login?.accountId;

/** Whether a record is invalid without a basis. A token of the code flow depends on its grant instead. */
function needsBasis(model: string, payload: IssuedPayload): boolean {
  if (model === "Grant") return payload.clientId !== keyClientId;
  if (model === "AccessToken") return payload.extra?.key_id !== undefined;
  return model === "ClientCredentials" || model === "Session" || model === "Interaction";
}

/**
 * The payload with this id, or this digest of it, if it is valid: it has not expired, its user and application exist, and the
 * user still has the credential that was checked for it.
 */
export async function readIssued(
  store: Store,
  wanted: { readonly model: string; readonly now: number } & ({ readonly id: string } | { readonly digest: string }),
): Promise<IssuedPayload | undefined> {
  const { model, now } = wanted;
  const ref = refByDigest(model, "id" in wanted ? digestToken(wanted.id) : wanted.digest);
  const record = (await store.read([ref])).record(ref);
  if (record === undefined || (record.expiresAt !== undefined && record.expiresAt <= now)) return undefined;
  const { payload, basis } = record.value as Issued;

  const owner = ownerOf(payload);
  const user = userRef(owner ?? "");
  const client = clientRef(payload.clientId ?? "");
  const view = await store.read([user, client]);
  const { state } = view.get(user);
  const isOwned =
    owner === undefined ||
    (state?.removed === false && (basis === undefined ? !needsBasis(model, payload) : stillHas(state, basis)));
  // Users are clients too, with their own secret or key; only applications are registered.
  const isOfUser = model === "ClientCredentials" || payload.clientId === keyClientId || payload.clientId === undefined;
  return isOwned && (isOfUser || view.get(client).state?.removed === false) ? payload : undefined;
}

/** The session with this uid, if it is valid. */
export async function readSession(
  store: Store,
  { uid, now }: { readonly uid: string; readonly now: number },
): Promise<IssuedPayload | undefined> {
  const ref = sessionNameRef(uid);
  const named = (await store.read([ref])).record(ref)?.value as SessionName | undefined;
  return named && readIssued(store, { model: "Session", digest: named.id, now });
}

/**
 * The user of an access token of the built-in issuer; undefined if it is unknown or has ended. Rejects with an AuthError
 * `api_scope_missing` for a valid token without the scope of this API, so that no outside issuer is asked about it.
 */
export async function identifyIssued(
  store: Store,
  { token, now }: { readonly token: string; readonly now: number },
): Promise<{ readonly userId: string; readonly user: UserState } | undefined> {
  for (const model of ["AccessToken", "ClientCredentials"]) {
    const payload = await readIssued(store, { model, id: token, now });
    if (payload === undefined) continue;
    if (!(await isGrantValid(store, payload, now))) return undefined;
    if (!payload.scope?.split(" ").includes(apiScope)) throw new AuthError("api_scope_missing");
    const ref = userRef(ownerOf(payload) ?? "");
    const user = (await store.read([ref])).get(ref).state;
    return user && { userId: ref.id, user };
  }
  return undefined;
}

/** Whether the grant of a token is valid, and for a token bound to a session also the session. */
async function isGrantValid(store: Store, payload: IssuedPayload, now: number): Promise<boolean> {
  const { grantId, expiresWithSession, sessionUid, accountId, clientId = "" } = payload;
  if (grantId === undefined) return true;
  if ((await readIssued(store, { model: "Grant", id: grantId, now })) === undefined) return false;
  if (!expiresWithSession) return true;
  const session = await readSession(store, { uid: sessionUid ?? "", now });
  return session?.accountId === accountId && session?.authorizations?.[clientId]?.grantId === grantId;
}
