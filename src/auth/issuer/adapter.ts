import { type Adapter, type AdapterPayload, errors, type KoaContextWithOIDC, Provider } from "oidc-provider";
import type { UniqueKey, UserState } from "../../domain/states.ts";
import {
  type Clock,
  clientRef,
  type RecordChange,
  type RecordRef,
  type Store,
  userRef,
  type View,
} from "../../store/store.ts";
import {
  type Basis,
  type Issued,
  type IssuedPayload,
  issuedRef,
  keyBasis,
  keyClientId,
  looksLikeId,
  ownerOf,
  passwordBasis,
  readIssued,
  readSession,
  type SessionName,
  secretBasis,
  sessionNameRef,
} from "../issued.ts";

const actor = "issuer";

/** Stores one of oidc-provider's models, by the digest of its ids. */
export function createAdapter(model: string, options: { readonly store: Store; readonly clock: Clock }): Adapter {
  const { store, clock } = options;
  if (model === "Client") return createClientAdapter(store);

  return {
    /**
     * Stores the payload with the credential that was checked for it (its basis): the user may have another password by now. A
     * request from before a sign-out neither brings the session back nor creates a grant.
     */
    async upsert(id, payload, expiresIn) {
      const kept = withoutIds(payload);
      const end = expiresIn === undefined ? {} : { expiresAt: clock() + expiresIn * 1000 };
      const ref = issuedRef(model, id);
      const session = sessionOf(model, kept);
      // Read before `decide`, which may run within another request that shares the commit.
      const checked = basisOf(model, kept as IssuedPayload);
      const earlierId = oldIdOf(requestContext()?.oidc.session ?? {});
      const earlier = earlierId === undefined ? undefined : issuedRef("Session", earlierId);
      await store.execute({
        actor,
        reads: session === undefined ? [] : [session],
        decide(view) {
          const name = session && nameIn(view, session);
          // A session is saved with its current id, or with the next one.
          const isStale =
            name !== undefined &&
            (name.hasEnded || (model === "Session" && name.id !== ref.id && name.id !== earlier?.id));
          if (isStale) return { changes: [], value: undefined };
          const basis = checked ?? name?.basis;
          const value = { payload: kept, ...(basis !== undefined && { basis }) } satisfies Issued | object;
          const records: RecordChange[] = [{ ref, to: { value, ...end } }];
          if (model === "Session" && session !== undefined) {
            const named: SessionName = { id: ref.id, ...(basis !== undefined && { basis }) };
            records.push({ ref: session, to: { value: named, ...end } });
          }
          return { changes: [], records, value: undefined };
        },
      });
    },

    async find(id) {
      const payload = await readIssued(store, { model, id, now: clock() });
      return payload && ({ ...payload, jti: id } as AdapterPayload);
    },

    /** Without the id of the session, which is not stored. oidc-provider needs only its existence and its user. */
    async findByUid(uid) {
      return (await readSession(store, { uid, now: clock() })) as AdapterPayload | undefined;
    },

    async findByUserCode() {
      return undefined;
    },

    /** Exactly one of several concurrent calls succeeds. The others revoke its grant, as for any replay (RFC 6749, section 4.1.2). */
    async consume(id) {
      const ref = issuedRef(model, id);
      const { value: isFirst } = await store.execute({
        actor,
        reads: [ref],
        decide(view) {
          const record = view.record(ref);
          const issued = record?.value as { readonly payload: IssuedPayload } | undefined;
          if (record === undefined || issued === undefined) return { changes: [], value: false };
          if (issued.payload.consumed !== undefined) {
            const grant = issued.payload.grantId;
            const records = grant === undefined ? [] : [{ ref: issuedRef("Grant", grant), to: undefined }];
            return { changes: [], records, value: false };
          }
          const payload = { ...issued.payload, consumed: Math.floor(clock() / 1000) };
          return { changes: [], records: [{ ref, to: { ...record, value: { ...issued, payload } } }], value: true };
        },
      });
      if (!isFirst) throw new errors.InvalidGrant(`${model} was used before`);
    },

    async destroy(id) {
      const ref = issuedRef(model, id);
      const records: RecordChange[] = [{ ref, to: undefined }];
      const session = requestContext()?.oidc.session;
      // A session that continues with a new id removes its earlier id here, and has not ended.
      if (model === "Session" && session?.uid !== undefined && oldIdOf(session) !== id) {
        const expiresAt = clock() + endedSessionMs;
        records.push({ ref: sessionNameRef(session.uid), to: { value: { id: "", hasEnded: true }, expiresAt } });
      }
      await store.execute({ actor, reads: [], decide: () => ({ changes: [], records, value: undefined }) });
    },

    // oidc-provider also removes the grant, and its tokens are invalid without it.
    async revokeByGrantId() {},
  };
}

/** Longer than any request. */
const endedSessionMs = 60 * 60 * 1000;

/** oidc-provider's context of the current request; undefined outside of one. */
const requestContext = (): KoaContextWithOIDC | undefined =>
  (Provider as unknown as { readonly ctx?: KoaContextWithOIDC }).ctx;

const oldIdOf = (session: object): string | undefined => (session as { readonly oldId?: string }).oldId;

/** The record of the session that a payload is or belongs to. */
function sessionOf(model: string, payload: AdapterPayload): RecordRef | undefined {
  if (model === "Session") return payload.uid === undefined ? undefined : sessionNameRef(payload.uid);
  const isInSession = model === "Grant" && payload.clientId !== keyClientId;
  const uid = isInSession ? requestContext()?.oidc.session?.uid : undefined;
  return uid === undefined ? undefined : sessionNameRef(uid);
}

const nameIn = (view: View, ref: RecordRef) => view.record(ref)?.value as SessionName | undefined;

/** The credential that was checked in this request, or in the sign-in that it resumes. */
function basisOf(model: string, payload: IssuedPayload): Basis | undefined {
  const oidc = requestContext()?.oidc;
  switch (model) {
    case "Interaction": {
      const setAt = payload.result?.login?.passwordSetAt;
      return setAt === undefined ? undefined : passwordBasis(setAt);
    }
    case "Session":
    case "Grant": {
      const { login } = (oidc?.result ?? {}) as NonNullable<IssuedPayload["result"]>;
      const isOfOwner = login?.accountId !== undefined && login.accountId === ownerOf(payload);
      return isOfOwner && login.passwordSetAt !== undefined ? passwordBasis(login.passwordSetAt) : undefined;
    }
    case "ClientCredentials":
      return oidc?.client?.clientSecret === undefined ? undefined : secretBasis(oidc.client.clientSecret);
    case "AccessToken":
      return payload.extra?.key_id === undefined ? undefined : keyBasis(payload.extra.key_id);
    default:
      return undefined;
  }
}

/** Without the ids, which would open the session or spend the token. Nothing reads the one in a sign-in in progress. */
function withoutIds({ jti: _, ...payload }: AdapterPayload): AdapterPayload {
  if (payload.session === undefined) return payload;
  const { cookie: __, ...session } = payload.session;
  return { ...payload, session: session as NonNullable<AdapterPayload["session"]> };
}

/**
 * The routes that authenticate the client first. At any other route, finding a user as a client would reveal to strangers which
 * users have a secret.
 */
const userRoutes: ReadonlySet<string> = new Set(["token", "introspection", "revocation"]);

/** Registered applications, and users with a secret, who get tokens by client credentials. */
function createClientAdapter(store: Store): Adapter {
  const never = async (): Promise<never> => {
    throw new Error("only the command line registers clients");
  };
  return {
    async find(id) {
      if (!id.isWellFormed()) return undefined;
      const name: UniqueKey = { kind: "user_name", value: id };
      const view = await store.read([clientRef(id), userRef(id), name]);
      const client = view.get(clientRef(id)).state;
      if (client !== undefined && !client.removed) {
        const { redirectUris, secretDigest } = client;
        const isNative = !redirectUris.every((uri) => uri.startsWith("https:"));
        return {
          client_id: id,
          client_name: client.name,
          redirect_uris: [...redirectUris],
          post_logout_redirect_uris: [...redirectUris],
          // Only native applications may use loopback redirects, at any port, and private schemes (RFC 8252).
          application_type: isNative ? "native" : "web",
          grant_types: ["authorization_code", "refresh_token"],
          response_types: ["code"],
          ...withSecret(secretDigest),
        };
      }
      // A name of digits could be the id of another user.
      const byName = looksLikeId(id) ? undefined : view.find(name);
      const user = looksLikeId(id) ? view.get(userRef(id)).state : (byName?.state as UserState | undefined);
      if (user?.secret === undefined || user.removed || !userRoutes.has(requestContext()?.oidc.route ?? ""))
        return undefined;
      return {
        client_id: id,
        user_id: byName?.ref.id ?? id,
        redirect_uris: [],
        grant_types: ["client_credentials"],
        response_types: [],
        ...withSecret(user.secret.digest),
      };
    },
    upsert: never,
    consume: never,
    destroy: never,
    revokeByGrantId: never,
    findByUid: never,
    findByUserCode: never,
  };
}

/** The "secret" is the stored digest. provider.ts compares it with the digest of the secret in the request. */
function withSecret(digest: string | undefined): AdapterPayload {
  if (digest === undefined) return { token_endpoint_auth_method: "none" };
  return { token_endpoint_auth_method: "client_secret_basic", client_secret: digest };
}
