import type { MultiFactor, SecondFactor } from "./factors.ts";
import { isSameSetting, type LoginPolicy, type SettingName, type SettingValue, settingNames } from "./settings.ts";

/** One difference between two policies: a setting's values, or what came into a set and what left it. */
export type PolicyChange =
  | { readonly path: SettingName; readonly before: SettingValue; readonly after: SettingValue }
  | ({ readonly path: "secondFactors" } & SetChange<SecondFactor>)
  | ({ readonly path: "multiFactors" } & SetChange<MultiFactor>);

export interface SetChange<Member> {
  /** In the order of the set after. */
  readonly added: readonly Member[];
  /** In the order of the set before. */
  readonly removed: readonly Member[];
}

/** What differs between two policies: settings in their order, then sets. The order in a set is no difference. */
export function changes(before: LoginPolicy, after: LoginPolicy): PolicyChange[] {
  const found: PolicyChange[] = [];
  if (before.settings !== after.settings) {
    for (const path of settingNames) {
      const values = { before: before.settings[path], after: after.settings[path] };
      if (!isSameSetting(values.before, values.after)) found.push({ path, ...values });
    }
  }
  const second = setChange(before.secondFactors, after.secondFactors);
  const multi = setChange(before.multiFactors, after.multiFactors);
  if (!isEmpty(second)) found.push({ path: "secondFactors", ...second });
  if (!isEmpty(multi)) found.push({ path: "multiFactors", ...multi });
  return found;
}

/** A setting, or whether a factor is allowed. No two of them have the same name. */
export type PolicyValue = SettingName | SecondFactor | MultiFactor;

/** What differs between two policies, without how; nothing where one is missing. */
export const changedValues = (before: LoginPolicy | undefined, after: LoginPolicy | undefined): PolicyValue[] =>
  before === undefined || after === undefined
    ? []
    : changes(before, after).flatMap((change): PolicyValue[] =>
        "added" in change ? [...change.added, ...change.removed] : [change.path],
      );

export function setChange<Member>(before: readonly Member[], after: readonly Member[]): SetChange<Member> {
  if (before === after) return { added: [], removed: [] };
  const missing = (from: readonly Member[], all: readonly Member[]) => [
    ...new Set(all.filter((member) => !from.includes(member))),
  ];
  return { added: missing(before, after), removed: missing(after, before) };
}

const isEmpty = ({ added, removed }: SetChange<unknown>): boolean => added.length === 0 && removed.length === 0;
