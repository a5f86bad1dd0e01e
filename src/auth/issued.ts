import type { UserState } from "../policy/states.ts";
import { clientRef, type RecordRef, type Store, userRef } from "../store/store.ts";
import { AuthError } from "./errors.ts";
import { digestToken } from "./token.ts";

// What the built-in issuer gave out, as kept in the store. The issuer writes it and the request gate reads it, so a token,
// session or grant that ends here has ended for both.

/** The scope without which a token is not for this API; ZITADEL's name, and part of what its clients ask for. */
export const apiScope = "urn:zitadel:iam:org:project:id:zitadel:aud";

/** The public client in whose name keys of users get tokens: ZITADEL's SDKs name none. */
export const keyClientId = "portcullis-keys";

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
  /** Of a sign-in in progress: what has been answered. */
  readonly result?: { readonly login?: { readonly accountId?: string } };
}

/** The value of a record. */
interface Issued {
  readonly payload: IssuedPayload;
  /** What of the user's it was given for; it ends when the user no longer has exactly that. */
  readonly restsOn?: string;
}

/** Where one is kept. The store holds digests of the ids: they open nothing. */
export const issuedRef = (model: string, id: string): RecordRef => refByDigest(model, digestToken(id));
/** Where the digest of a session's id is kept, by the name that tokens know the session by. */
export const sessionNameRef = (uid: string): RecordRef => issuedRef("SessionUid", uid);

const refByDigest = (model: string, digest: string): RecordRef => ({ record: `issued_${model}`, id: digest });

/** The user of whom a payload speaks; undefined for one that speaks of none. */
export const ownerOf = (payload: IssuedPayload): string | undefined =>
  payload.accountId ?? payload.extra?.sub ?? payload.result?.login?.accountId;

/**
 * What this was given for: the user's password, secret or key as it is now. A token of the code flow rests on its grant
 * alone, which rests on the password.
 */
export function restsOn(model: string, payload: IssuedPayload, user: UserState | undefined): string | undefined {
  switch (model) {
    case "Interaction":
    case "Session":
    case "Grant":
      return payload.clientId === keyClientId ? undefined : `password ${user?.password?.setAt}`;
    case "ClientCredentials":
      return `secret ${user?.secret?.setAt}`;
    case "AccessToken": {
      const keyId = payload.extra?.key_id;
      if (keyId === undefined) return undefined;
      return user?.keys?.some((key) => key.keyId === keyId) ? `key ${keyId}` : "a key that is gone";
    }
    default:
      return undefined;
  }
}

/** What was given out under this id, or the digest of it, if it still counts: not ended, its user and application there, what it rests on unchanged. */
export async function readIssued(
  store: Store,
  wanted: { readonly model: string; readonly now: number } & ({ readonly id: string } | { readonly digest: string }),
): Promise<IssuedPayload | undefined> {
  const { model, now } = wanted;
  const ref = refByDigest(model, "id" in wanted ? digestToken(wanted.id) : wanted.digest);
  const record = (await store.read([ref])).record(ref);
  if (record === undefined || (record.expiresAt !== undefined && record.expiresAt <= now)) return undefined;
  const { payload, restsOn: given } = record.value as Issued;

  const owner = ownerOf(payload);
  const user = userRef(owner ?? "");
  const client = clientRef(payload.clientId ?? "");
  const view = await store.read([user, client]);
  const { state } = view.get(user);
  const isOwned = owner === undefined || (state?.removed === false && restsOn(model, payload, state) === given);
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
  const named = (await store.read([ref])).record(ref)?.value as { readonly id: string } | undefined;
  return named && readIssued(store, { model: "Session", digest: named.id, now });
}

/**
 * Who an access token of the built-in issuer speaks for; undefined where it is unknown or has ended. Rejects with an AuthError
 * `token_invalid` for one that is good and not for this API: nobody else is to be asked about it.
 */
export async function identifyIssued(
  store: Store,
  { token, now }: { readonly token: string; readonly now: number },
): Promise<{ readonly userId: string; readonly user: UserState } | undefined> {
  for (const model of ["AccessToken", "ClientCredentials"]) {
    const payload = await readIssued(store, { model, id: token, now });
    if (payload === undefined) continue;
    if (!payload.scope?.split(" ").includes(apiScope)) throw new AuthError("token_invalid");
    if (!(await hasBasis(store, payload, now))) return undefined;
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
