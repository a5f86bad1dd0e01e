import type { LoginPolicyEvent } from "../events.ts";
import { setChange } from "./changes.ts";
import { multiFactorKind, secondFactorKind } from "./decide.ts";
import { isSameSettings, type LoginPolicy } from "./settings.ts";

/**
 * The events that turn one policy into another: the settings where they differ, then factors that go, then factors that come. The
 * order in a set is no difference.
 */
export function difference(present: LoginPolicy, wanted: LoginPolicy): LoginPolicyEvent[] {
  const second = setChange(present.secondFactors, wanted.secondFactors);
  const multi = setChange(present.multiFactors, wanted.multiFactors);
  const settings: LoginPolicyEvent[] = isSameSettings(present.settings, wanted.settings)
    ? []
    : [{ type: "LoginPolicyChanged", version: 1, payload: wanted.settings }];
  return [
    ...settings,
    ...second.removed.map(secondFactorKind.removed),
    ...multi.removed.map(multiFactorKind.removed),
    ...second.added.map(secondFactorKind.added),
    ...multi.added.map(multiFactorKind.added),
  ];
}
