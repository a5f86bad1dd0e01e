import type { AggregateType, EventsOf } from "./events.ts";
import type { LoginPolicy, LoginPolicySettings } from "./login-policy/settings.ts";
import type { InstanceState, OrganizationState, StatesOf } from "./states.ts";

/** An event that any version of this program wrote. */
export interface WrittenEvent {
  readonly type: string;
  readonly version: number;
  readonly payload: unknown;
}

/** Turns a payload of one version into that of the next. */
export type Step = (payload: never) => unknown;

/** Converts what earlier versions of this program wrote to the newest form. */
export interface Upcast {
  /** The event in its newest version. Throws an Error for a type or version that this program does not know. */
  event<T extends AggregateType>(aggregateType: T, written: WrittenEvent): EventsOf[T];
  /** A stored state, with the settings that were added since. */
  state<T extends AggregateType>(aggregateType: T, kept: StatesOf[T]): StatesOf[T];
}

/** The changes since the first version. */
export interface Changes {
  /** By aggregate and event type: the steps from version 1 to the newest. */
  readonly steps: Readonly<Record<string, Readonly<Record<string, readonly Step[]>>>>;
  /** The settings that were added to login policies, with the value that an older policy has. */
  readonly addedSettings: Partial<LoginPolicySettings>;
}

export function createUpcast({ steps, addedSettings }: Changes): Upcast {
  const completePolicy = <P extends LoginPolicy>(policy: P): P => ({
    ...policy,
    settings: { ...addedSettings, ...policy.settings },
  });
  return {
    event<T extends AggregateType>(aggregateType: T, { type, version, payload }: WrittenEvent) {
      const toNewest = own(own(steps, aggregateType), type);
      const newest = 1 + (toNewest?.length ?? 0);
      if (toNewest === undefined || !Number.isInteger(version) || version < 1 || version > newest) {
        throw new Error(
          `${type} of version ${version} is not known here, and may be of a newer version of the program`,
        );
      }
      const brought = toNewest.slice(version - 1).reduce((before: unknown, step) => step(before as never), payload);
      return { type, version: newest, payload: brought } as unknown as EventsOf[T];
    },
    state<T extends AggregateType>(aggregateType: T, kept: StatesOf[T]): StatesOf[T] {
      if (aggregateType !== "instance" && aggregateType !== "organization") return kept;
      const state = kept as InstanceState | OrganizationState;
      if (state.loginPolicy === undefined) return kept;
      return { ...state, loginPolicy: completePolicy(state.loginPolicy) } as StatesOf[T];
    },
  };
}

const own = <V>(table: Readonly<Record<string, V>> | undefined, name: string): V | undefined =>
  table !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;

type EventNamed<T extends AggregateType, Name> = Extract<EventsOf[T], { readonly type: Name }>;
/** An event type with a newest version above 1 needs steps. */
type StepsTo<Version> = Version extends 1 ? readonly [] : readonly [Step, ...Step[]];

const stepsOfPolicy = {
  LoginPolicyChanged: [],
  SecondFactorAdded: [],
  SecondFactorRemoved: [],
  MultiFactorAdded: [],
  MultiFactorRemoved: [],
} as const;

/** All event types that this program knows. A new version of one adds a step here. */
export const steps: {
  readonly [T in AggregateType]: { readonly [Name in EventsOf[T]["type"]]: StepsTo<EventNamed<T, Name>["version"]> };
} = {
  instance: { InstanceCreated: [], ...stepsOfPolicy },
  organization: {
    OrganizationAdded: [],
    OrganizationRemoved: [],
    LoginPolicyAdded: [],
    LoginPolicyRemoved: [],
    ...stepsOfPolicy,
  },
  user: {
    UserAdded: [],
    UserRemoved: [],
    RoleGranted: [],
    RoleRevoked: [],
    TokenCreated: [],
    TokenRevoked: [],
    PasswordSet: [],
    SecretSet: [],
    KeyAdded: [],
    KeyRemoved: [],
  },
  client: { ClientAdded: [], ClientRemoved: [] },
};

export const upcast: Upcast = createUpcast({ steps, addedSettings: {} });
