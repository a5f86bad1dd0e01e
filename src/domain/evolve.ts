import { isSameGrant } from "./directory/role-grants.ts";
import type {
  AggregateType,
  ClientEvent,
  EventOrigin,
  EventsOf,
  InstanceEvent,
  LoginPolicyEvent,
  OrganizationEvent,
  UserEvent,
} from "./events.ts";
import type { LoginPolicy } from "./login-policy/settings.ts";
import type {
  ClientState,
  InstanceState,
  KeptLoginPolicy,
  OrganizationState,
  State,
  StatesOf,
  UniqueKey,
  UserState,
} from "./states.ts";

/**
 * The state of an aggregate after one more event of the newest version (see upcast.ts). Throws an Error for an event that
 * cannot follow the state, which means a damaged history.
 */
export function evolve<T extends AggregateType>(
  aggregateType: T,
  before: { readonly state: StatesOf[T] | undefined; readonly event: EventsOf[T]; readonly origin: EventOrigin },
): StatesOf[T] {
  const { state, event, origin } = before;
  // TypeScript does not narrow the state by the aggregate's type.
  return evolvers[aggregateType](state as never, event as never, origin) as StatesOf[T];
}

const evolvers = {
  instance: evolveInstance,
  organization: evolveOrganization,
  user: evolveUser,
  client: evolveClient,
};

function evolveInstance(state: InstanceState | undefined, event: InstanceEvent, origin: EventOrigin): InstanceState {
  if (event.type === "InstanceCreated") {
    if (state !== undefined) throw impossible(event, origin);
    return { ...event.payload, loginPolicy: keep(event.payload.loginPolicy, origin) };
  }
  if (state === undefined) throw impossible(event, origin);
  return { ...state, loginPolicy: evolveLoginPolicy(state.loginPolicy, event, origin) };
}

function evolveOrganization(
  state: OrganizationState | undefined,
  event: OrganizationEvent,
  origin: EventOrigin,
): OrganizationState {
  if (event.type === "OrganizationAdded") {
    if (state !== undefined) throw impossible(event, origin);
    return { name: event.payload.name, removed: false };
  }
  if (state === undefined || state.removed) throw impossible(event, origin);
  if (event.type === "OrganizationRemoved") return { name: state.name, removed: true };
  const { loginPolicy, ...inheriting } = state;
  if (event.type === "LoginPolicyAdded") {
    if (loginPolicy !== undefined) throw impossible(event, origin);
    return { ...inheriting, loginPolicy: keep(event.payload, origin) };
  }
  if (loginPolicy === undefined) throw impossible(event, origin);
  if (event.type === "LoginPolicyRemoved") return inheriting;
  return { ...inheriting, loginPolicy: evolveLoginPolicy(loginPolicy, event, origin) };
}

function keep(policy: LoginPolicy, { recordedAt, sequence }: EventOrigin): KeptLoginPolicy {
  const { settings, secondFactors, multiFactors } = policy;
  return { settings, secondFactors, multiFactors, createdAt: recordedAt, changedAt: recordedAt, sequence };
}

function evolveLoginPolicy(policy: KeptLoginPolicy, event: LoginPolicyEvent, origin: EventOrigin): KeptLoginPolicy {
  const plus = <F>(list: readonly F[], factor: F): readonly F[] => {
    if (list.includes(factor)) throw impossible(event, origin);
    return [...list, factor];
  };
  const minus = <F>(list: readonly F[], factor: F): readonly F[] => {
    if (!list.includes(factor)) throw impossible(event, origin);
    return list.filter((other) => other !== factor);
  };
  const changed = (change: Partial<LoginPolicy>): KeptLoginPolicy => ({
    ...policy,
    ...change,
    changedAt: origin.recordedAt,
    sequence: origin.sequence,
  });
  switch (event.type) {
    case "LoginPolicyChanged":
      return changed({ settings: event.payload });
    case "SecondFactorAdded":
      return changed({ secondFactors: plus(policy.secondFactors, event.payload.factor) });
    case "SecondFactorRemoved":
      return changed({ secondFactors: minus(policy.secondFactors, event.payload.factor) });
    case "MultiFactorAdded":
      return changed({ multiFactors: plus(policy.multiFactors, event.payload.factor) });
    case "MultiFactorRemoved":
      return changed({ multiFactors: minus(policy.multiFactors, event.payload.factor) });
    default:
      throw impossible(event, origin);
  }
}

function evolveUser(state: UserState | undefined, event: UserEvent, origin: EventOrigin): UserState {
  if (event.type === "UserAdded") {
    if (state !== undefined) throw impossible(event, origin);
    return { ...event.payload, removed: false, roles: [], tokens: [] };
  }
  if (state === undefined || state.removed) throw impossible(event, origin);
  switch (event.type) {
    case "UserRemoved":
      return { name: state.name, organizationId: state.organizationId, removed: true, roles: [], tokens: [] };
    case "RoleGranted":
      if (state.roles.some((grant) => isSameGrant(grant, event.payload))) throw impossible(event, origin);
      return { ...state, roles: [...state.roles, event.payload] };
    case "RoleRevoked":
      if (!state.roles.some((grant) => isSameGrant(grant, event.payload))) throw impossible(event, origin);
      return { ...state, roles: state.roles.filter((grant) => !isSameGrant(grant, event.payload)) };
    case "TokenCreated":
      return { ...state, tokens: [...state.tokens, { ...event.payload, createdAt: origin.recordedAt }] };
    case "TokenRevoked":
      if (!state.tokens.some((token) => token.tokenId === event.payload.tokenId)) throw impossible(event, origin);
      return { ...state, tokens: state.tokens.filter((token) => token.tokenId !== event.payload.tokenId) };
    case "PasswordSet":
      return { ...state, password: { hash: event.payload.hash, setAt: origin.recordedAt } };
    case "SecretSet":
      return { ...state, secret: { digest: event.payload.digest, setAt: origin.recordedAt } };
    case "KeyAdded":
      return { ...state, keys: [...(state.keys ?? []), { ...event.payload, createdAt: origin.recordedAt }] };
    case "KeyRemoved":
      if (!state.keys?.some((key) => key.keyId === event.payload.keyId)) throw impossible(event, origin);
      return { ...state, keys: state.keys.filter((key) => key.keyId !== event.payload.keyId) };
    default:
      throw impossible(event, origin);
  }
}

function evolveClient(state: ClientState | undefined, event: ClientEvent, origin: EventOrigin): ClientState {
  if (event.type === "ClientAdded") {
    if (state !== undefined) throw impossible(event, origin);
    return { ...event.payload, removed: false };
  }
  if (state === undefined || state.removed || event.type !== "ClientRemoved") throw impossible(event, origin);
  return { name: state.name, redirectUris: [], removed: true };
}

/** The unique keys of an aggregate in this state. A removed aggregate has none. */
export function uniqueKeysOf(aggregateType: AggregateType, state: State | undefined): readonly UniqueKey[] {
  if (state === undefined) return [];
  switch (aggregateType) {
    case "instance":
      return [];
    case "organization": {
      const { name, removed } = state as OrganizationState;
      return removed ? [] : [{ kind: "organization_name", value: name }];
    }
    case "user": {
      const { name, removed, tokens, keys = [] } = state as UserState;
      if (removed) return [];
      return [
        { kind: "user_name", value: name },
        ...tokens.flatMap(({ tokenId, digest }): UniqueKey[] => [
          { kind: "token_id", value: tokenId },
          { kind: "token_digest", value: digest },
        ]),
        ...keys.map(({ keyId }): UniqueKey => ({ kind: "key_id", value: keyId })),
      ];
    }
    case "client": {
      const { name, removed } = state as ClientState;
      return removed ? [] : [{ kind: "client_name", value: name }];
    }
  }
}

function impossible(event: { readonly type: string }, origin: EventOrigin): Error {
  return new Error(`event ${event.type} (sequence ${origin.sequence}) cannot follow the state before it`);
}
