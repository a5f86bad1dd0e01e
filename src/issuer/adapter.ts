import { type Adapter, type AdapterPayload, errors } from "oidc-provider";
import {
  type IssuedPayload,
  issuedRef,
  ownerOf,
  readIssued,
  readSession,
  restsOn,
  sessionNameRef,
} from "../auth/issued.ts";
import type { Key, UserState } from "../policy/states.ts";
import { type Clock, clientRef, type RecordChange, type Store, userRef } from "../store/store.ts";

const actor = "issuer";

/** Keeps one of oidc-provider's models in the store, by the digest of its id. */
export function createAdapter(model: string, options: { readonly store: Store; readonly clock: Clock }): Adapter {
  const { store, clock } = options;
  if (model === "Client") return createClientAdapter(store);

  return {
    async upsert(id, payload, expiresIn) {
      const kept = withoutIds(payload);
      const end = expiresIn === undefined ? {} : { expiresAt: clock() + expiresIn * 1000 };
      const ref = issuedRef(model, id);
      const user = userRef(ownerOf(kept as IssuedPayload) ?? "");
      await store.execute({
        actor,
        reads: [user],
        decide(view) {
          const basis = restsOn(model, kept as IssuedPayload, view.get(user).state);
          const value = { payload: kept, ...(basis !== undefined && { restsOn: basis }) };
          const records: RecordChange[] = [{ ref, to: { value, ...end } }];
          if (model === "Session" && payload.uid !== undefined) {
            records.push({ ref: sessionNameRef(payload.uid), to: { value: { id: ref.id }, ...end } });
          }
          return { changes: [], records, value: undefined };
        },
      });
    },

    async find(id) {
      const payload = await readIssued(store, { model, id, now: clock() });
      return payload && ({ ...payload, jti: id } as AdapterPayload);
    },

    /** Only asked whether the session is there, and whose it is: the id, which is not kept, stays out of the answer. */
    async findByUid(uid) {
      return (await readSession(store, { uid, now: clock() })) as AdapterPayload | undefined;
    },

    async findByUserCode() {
      return undefined;
    },

    /** Exactly one of several at once succeeds; the others end what the first got, as for any other replay (RFC 6749, 4.1.2). */
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
      await store.execute({
        actor,
        reads: [],
        decide: () => ({ changes: [], records: [{ ref, to: undefined }], value: undefined }),
      });
    },

    // Nothing that rests on a grant counts without it, and oidc-provider removes the grant as well.
    async revokeByGrantId() {},
  };
}

/** The ids are what opens the session or spends the token. A sign-in in progress holds the session's as well, and nobody reads it. */
function withoutIds({ jti: _, ...payload }: AdapterPayload): AdapterPayload {
  if (payload.session === undefined) return payload;
  const { cookie: __, ...session } = payload.session;
  return { ...payload, session: session as NonNullable<AdapterPayload["session"]> };
}

/** Applications as registered, and users with a secret as clients of their own: they get tokens by client credentials. */
function createClientAdapter(store: Store): Adapter {
  const never = async (): Promise<never> => {
    throw new Error("clients are registered by the command line");
  };
  return {
    async find(id) {
      if (!id.isWellFormed()) return undefined;
      const name: Key = { kind: "user_name", value: id };
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
          // Only native applications may return to this machine, at any port, or to a scheme of their own (RFC 8252).
          application_type: isNative ? "native" : "web",
          grant_types: ["authorization_code", "refresh_token"],
          response_types: ["code"],
          ...withSecret(secretDigest),
        };
      }
      const byName = view.find(name);
      const user = (byName?.state as UserState | undefined) ?? view.get(userRef(id)).state;
      if (user?.secret === undefined || user.removed) return undefined;
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

/** A client's "secret" is the digest that we keep: provider.ts compares it with the digest of what was sent. */
function withSecret(digest: string | undefined): AdapterPayload {
  if (digest === undefined) return { token_endpoint_auth_method: "none" };
  return { token_endpoint_auth_method: "client_secret_basic", client_secret: digest };
}
