import type { UserState } from "../domain/states.ts";
import { clientRef, type RecordRef, type Store, userRef } from "../store/store.ts";
import { apiScope } from "../wire-names.ts";
import { AuthError } from "./errors.ts";
import { digestToken } from "./token.ts";

// What the built-in issuer gave out, as kept in the store. The issuer writes it and the request gate reads it, so a token,
// session or grant that ends here has ended for both.

/** The public client in whose name keys of users get tokens: ZITADEL's SDKs name none. */
export const keyClientId = "portcullis-keys";

/** Ids of users and applications are decimal digits; a user whose name is such a text is known to clients by the id alone. */
export const looksLikeId = (text: string): boolean => /^\d+$/.test(text);

/** The fields of oidc-provider's payloads that decide whether one still counts. */
export interface IssuedPayload {
  readonly accountId?: string;
  readonly clientId?: string;
  readonly grantId?: string;
  readonly scope?: string;
  readonly consumed?: unknown;
  /** What we add to an access token; introspection shows it. */
  readonly extra?: { readonly sub?: string; readonly key_id?: string };
  /** Of an access token: whether it ends with the session in which it was given. */
  readonly expiresWithSession?: boolean;
  readonly sessionUid?: string;
  /** Of a session: the grant of each application in it. */
  readonly authorizations?: Readonly<Record<string, { readonly grantId?: string }>>;
  /** Of a sign-in in progress: what has been answered, and when the password was set that was right. */
  readonly result?: { readonly login?: { readonly accountId?: string; readonly passwordSetAt?: number } };
}

/** The value of a record. */
export interface Issued {
  readonly payload: IssuedPayload;
  /** What was checked when it was given; it ends when the user no longer has exactly that. */
  readonly basis?: Basis;
}

/** What a user signs in with: this very password, secret or key. */
export type Basis = `password ${number}` | `secret ${string}` | `key ${string}`;

/** The password set at that moment. */
export const passwordBasis = (setAt: number): Basis => `password ${setAt}`;
/** The secret with that digest. */
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

/** The kept name of a session, which stays the same where the session's id changes. */
export interface SessionName {
  /** Digest of the session's id. */
  readonly id: string;
  readonly basis?: Basis;
  /** It was signed out of: what was asked for before may not bring it back. */
  readonly hasEnded?: boolean;
}

/** Where one is kept. The store holds digests of the ids: they open nothing. */
export const issuedRef = (model: string, id: string): RecordRef => refByDigest(model, digestToken(id));
/** Where the digest of a session's id is kept, by the name that tokens know the session by. */
export const sessionNameRef = (uid: string): RecordRef => issuedRef("SessionUid", uid);

const refByDigest = (model: string, digest: string): RecordRef => ({ record: `issued_${model}`, id: digest });

/** The user of whom a payload speaks; undefined for one that speaks of none. */
export const ownerOf = (payload: IssuedPayload): string | undefined =>
  payload.accountId ?? payload.extra?.sub ?? payload.result?.login?.accountId;

/** Whether a payload counts only with what was checked for it. A token of the code flow rests on its grant instead. */
function needsBasis(model: string, payload: IssuedPayload): boolean {
  if (model === "Grant") return payload.clientId !== keyClientId;
  if (model === "AccessToken") return payload.extra?.key_id !== undefined;
  return model === "ClientCredentials" || model === "Session" || model === "Interaction";
}

/** What was given out under this id, or the digest of it, if it still counts: not ended, its user and application there, what was checked for it still the user's. */
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

/** The session of that name, if it still counts. */
export async function readSession(
  store: Store,
  { uid, now }: { readonly uid: string; readonly now: number },
): Promise<IssuedPayload | undefined> {
  const ref = sessionNameRef(uid);
  const named = (await store.read([ref])).record(ref)?.value as SessionName | undefined;
  return named && readIssued(store, { model: "Session", digest: named.id, now });
}

/**
 * Who an access token of the built-in issuer speaks for; undefined where it is unknown or has ended. Rejects with an AuthError
 * `api_scope_missing` for one that is good and not for this API: nobody else is to be asked about it.
 */
export async function identifyIssued(
  store: Store,
  { token, now }: { readonly token: string; readonly now: number },
): Promise<{ readonly userId: string; readonly user: UserState } | undefined> {
  for (const model of ["AccessToken", "ClientCredentials"]) {
    const payload = await readIssued(store, { model, id: token, now });
    if (payload === undefined) continue;
    if (!(await hasBasis(store, payload, now))) return undefined;
    if (!payload.scope?.split(" ").includes(apiScope)) throw new AuthError("api_scope_missing");
    const ref = userRef(ownerOf(payload) ?? "");
    const user = (await store.read([ref])).get(ref).state;
    return user && { userId: ref.id, user };
  }
  return undefined;
}

/** Whether the grant, and where a token is bound to one the session, that a token was given in are there. */
async function hasBasis(store: Store, payload: IssuedPayload, now: number): Promise<boolean> {
  const { grantId, expiresWithSession, sessionUid, accountId, clientId = "" } = payload;
  if (grantId === undefined) return true;
  if ((await readIssued(store, { model: "Grant", id: grantId, now })) === undefined) return false;
  if (!expiresWithSession) return true;
  const session = await readSession(store, { uid: sessionUid ?? "", now });
  return session?.accountId === accountId && session?.authorizations?.[clientId]?.grantId === grantId;
}
