import { changedValues, type PolicyValue } from "./changes.ts";
import { type MultiFactor, multiFactors, type SecondFactor, secondFactors } from "./factors.ts";
import { appliedAt, type Revision, revisionNumbered, type Timeline, type Timelines } from "./revisions.ts";
import {
  defaultLoginPolicy,
  isSameSetting,
  type LoginPolicy,
  type SettingName,
  type SettingValue,
  settingNames,
} from "./settings.ts";

/** Where a value was set, and by which revision: of the organization for `organization`, else of the instance. */
export interface Origin {
  /** `built_in`: the instance has had it from the start, as every new instance does. */
  readonly level: "built_in" | "instance" | "organization";
  readonly setBy: Revision;
}

export interface SettingExplanation extends Origin {
  readonly path: SettingName;
  readonly value: SettingValue;
  /** Absent for the instance, which cannot be reset. */
  readonly valueAfterReset?: SettingValue;
}

export interface FactorExplanation<Factor> extends Origin {
  readonly factor: Factor;
  readonly allowed: boolean;
  /** Absent for the instance. */
  readonly allowedAfterReset?: boolean;
}

/** All settings, and all factors, allowed or not, each in their order. */
export interface Explanation {
  readonly settings: readonly SettingExplanation[];
  readonly secondFactors: readonly FactorExplanation<SecondFactor>[];
  readonly multiFactors: readonly FactorExplanation<MultiFactor>[];
}

/**
 * Says of each value that applies who set it. That is the newest revision in which it differs from before. A copied value was set
 * where the instance got it, and a policy that was created from given values sets all of them.
 */
export function explain(timelines: Timelines): Explanation {
  const applied = appliedAt(timelines);
  if (applied === undefined) throw new Error("a policy without a timeline cannot be explained");
  const { policy } = applied;
  const { instance, organization = [] } = timelines;
  const reset = timelines.organization && appliedAt({ instance })?.policy;
  const originOf =
    applied.owner === "organization" ? originsInOrganization(organization, instance) : originsInInstance(instance);
  const explainFactor = <F extends SecondFactor | MultiFactor>(factor: F): FactorExplanation<F> => ({
    factor,
    allowed: allows(policy, factor),
    ...originOf(factor),
    ...(reset && { allowedAfterReset: allows(reset, factor) }),
  });
  return {
    settings: settingNames.map((path) => ({
      path,
      value: policy.settings[path],
      ...originOf(path),
      ...(reset && { valueAfterReset: reset.settings[path] }),
    })),
    secondFactors: secondFactors.map(explainFactor),
    multiFactors: multiFactors.map(explainFactor),
  };
}

const isSetting = (value: PolicyValue): value is SettingName => value in defaultLoginPolicy.settings;

const allows = (policy: LoginPolicy, factor: SecondFactor | MultiFactor): boolean =>
  [...policy.secondFactors, ...policy.multiFactors].includes(factor);

type Origins = (value: PolicyValue) => Origin;

function originsInInstance(timeline: Timeline): Origins {
  const [first] = timeline;
  return (value) => {
    const setBy = setterIn(timeline, value) ?? (first as Revision);
    return { level: setBy === first && isBuiltIn(first.policy, value) ? "built_in" : "instance", setBy };
  };
}

function originsInOrganization(organization: Timeline, instance: Timeline): Origins {
  const first = organization[organization.findLastIndex(({ policy }) => policy === undefined) + 1] as Revision;
  const byOrganization = (setBy: Revision): Origin => ({ level: "organization", setBy });
  const { cause } = first;
  if (cause.type !== "copied") return (value) => byOrganization(setterIn(organization, value) ?? first);
  const then = instance.slice(0, instance.findLastIndex(({ revision }) => revision <= cause.instanceSequence) + 1);
  const inherited = originsInInstance(then);
  // The append that copied may have changed values, too.
  const changedInCopy = new Set(changedValues(then.at(-1)?.policy, first.policy));
  return (value) => {
    const setBy = setterIn(organization, value) ?? (changedInCopy.has(value) ? first : undefined);
    return setBy === undefined ? inherited(value) : byOrganization(setBy);
  };
}

function setterIn(timeline: Timeline, value: PolicyValue): Revision | undefined {
  const number = timeline.at(-1)?.setBy[value];
  return number === undefined ? undefined : revisionNumbered(timeline, number);
}

function isBuiltIn(policy: LoginPolicy | undefined, value: PolicyValue): boolean {
  if (policy === undefined) return false;
  return isSetting(value)
    ? isSameSetting(policy.settings[value], defaultLoginPolicy.settings[value])
    : allows(policy, value) === allows(defaultLoginPolicy, value);
}
