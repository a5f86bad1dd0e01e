import type { AggregateType, EventsOf } from "./events.ts";
import type { LoginPolicy, LoginPolicySettings } from "./login-policy/settings.ts";
import type { InstanceState, OrganizationState, StatesOf } from "./states.ts";

/** An event as some version of this program wrote it. */
export interface WrittenEvent {
  readonly type: string;
  readonly version: number;
  readonly payload: unknown;
}

/** Turns a payload of one version into that of the next. */
export type Step = (payload: never) => unknown;

/** Brings what earlier versions of this program wrote to the form that this one works with. */
export interface Upcast {
  /** The event in its newest version. Throws an Error that names type and version where this program does not know them. */
  event<T extends AggregateType>(aggregateType: T, written: WrittenEvent): EventsOf[T];
  /** A state that was kept, with what has been added to states since. */
  state<T extends AggregateType>(aggregateType: T, kept: StatesOf[T]): StatesOf[T];
}

/** What has changed since the first version. */
export interface Changes {
  /** For each aggregate's events by their type: the steps from version 1 to the newest. */
  readonly steps: Readonly<Record<string, Readonly<Record<string, readonly Step[]>>>>;
  /** The settings that were added to login policies, each with its meaning in a policy from before it. */
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
/** A type whose newest version is not 1 has to say how to get there. */
type StepsTo<Version> = Version extends 1 ? readonly [] : readonly [Step, ...Step[]];

const stepsOfPolicy = {
  LoginPolicyChanged: [],
  SecondFactorAdded: [],
  SecondFactorRemoved: [],
  MultiFactorAdded: [],
  MultiFactorRemoved: [],
} as const;

/** Every event that this program knows. */
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
