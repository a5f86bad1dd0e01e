import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import {
  EvaluateSignInResponse_Decision as Decision,
  type EvaluateSignInRequest,
  type EvaluateSignInRequest_Check,
  type EvaluateSignInResponse_StepSchema,
  type EvaluateSignInResponseSchema,
  EvaluateSignInResponse_Step_Kind as Kind,
} from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import type { SecondFactorType } from "../../../gen/zitadel/policy_pb.ts";
import { evaluate } from "../../domain/login-policy/evaluate.ts";
import type { SecondFactor } from "../../domain/login-policy/factors.ts";
import type { LoginPolicy } from "../../domain/login-policy/settings.ts";
import type { Check, Person, Step } from "../../domain/login-policy/sign-in.ts";
import { fromInstant, fromSecondFactors, secondFactorOf } from "../values.ts";
import { wireName } from "./convert.ts";
import { invalidField } from "./errors.ts";

const mostChecks = 100;
/** The end of the year 9999, in milliseconds since 1970 UTC: JSON has no later time. */
const lastInstant = 253_402_300_799_999;
/** How far clocks of a login page and of this server may differ, in milliseconds. */
const clockSkew = 60_000;

/** Decides on a sign-in by a policy, whose revision is named. `now` is milliseconds since 1970 UTC. Throws invalid_argument. */
export function evaluateSignIn(
  request: EvaluateSignInRequest,
  by: { readonly policy: LoginPolicy; readonly revision: string; readonly now: number },
): MessageInitShape<typeof EvaluateSignInResponseSchema> {
  const { user, checks, signInStartTime, maxAge, evaluationTime } = request;
  if (signInStartTime === undefined)
    throw invalidField("sign_in_start_time", "say when this sign-in began", "FIELD_MISSING");
  const now = evaluationTime === undefined ? by.now : toInstant(evaluationTime, "evaluation_time");
  if (checks.length > mostChecks) throw invalidField("checks", `send at most ${mostChecks}`);
  const person = user && toPerson(user);
  const { decision, steps, reasons, expiresAt } = evaluate(
    { ...by.policy, identityProviders: [] },
    {
      ...(person && { person }),
      checks: checks.map((check, index) => toCheck(check, { at: `checks[${index}]`, now })),
      startedAt: toInstant(signInStartTime, "sign_in_start_time"),
      ...(maxAge && { maxAge: toMaxAge(maxAge) }),
      now,
    },
  );
  return {
    decision: { allowed: Decision.ALLOWED, step_required: Decision.STEP_REQUIRED, impossible: Decision.IMPOSSIBLE }[
      decision
    ],
    steps: steps.map(fromStep),
    reasons: reasons.map(({ path, message }) => ({ path: wireName(path), message })),
    ...(expiresAt !== undefined && { expireTime: fromInstant(Math.floor(Math.min(expiresAt, lastInstant))) }),
    revision: by.revision,
  };
}

function toPerson(user: NonNullable<EvaluateSignInRequest["user"]>): Person {
  const { passkeyCount, secondFactorSetupSkippedTime: skipped } = user;
  if (passkeyCount < 0) throw invalidField("user.passkey_count", "send a number that is not negative");
  return {
    hasPassword: user.hasPassword,
    passkeyCount,
    secondFactors: user.secondFactors.map((type, index) => toFactor(type, `user.second_factors[${index}]`)),
    linkedProviderIds: user.linkedProviderIds,
    ...(skipped && { setupSkippedAt: toInstant(skipped, "user.second_factor_setup_skipped_time") }),
  };
}

function toCheck({ time, kind }: EvaluateSignInRequest_Check, { at: path, now }: { at: string; now: number }): Check {
  if (time === undefined) throw invalidField(`${path}.time`, "say when it was checked", "FIELD_MISSING");
  const at = toInstant(time, `${path}.time`);
  if (at > now + clockSkew) throw invalidField(`${path}.time`, "it is more than a minute after the evaluation");
  switch (kind.case) {
    case "password":
    case "passkey":
      return { at, kind: kind.case };
    case "provider":
      if (kind.value.id === "")
        throw invalidField(`${path}.provider.id`, "name the identity provider", "FIELD_MISSING");
      return { at, kind: "provider", id: kind.value.id, amr: kind.value.amr };
    case "secondFactor":
      return { at, kind: "second_factor", type: toFactor(kind.value.type, `${path}.second_factor.type`) };
    default:
      throw invalidField(path, "say what was checked: password, passkey, provider or second_factor", "FIELD_MISSING");
  }
}

function toFactor(type: SecondFactorType, path: string): SecondFactor {
  const factor = secondFactorOf(type);
  if (factor === undefined) throw invalidField(path, "send the name of a second factor");
  return factor;
}

/** From the year 1 to 9999, as JSON has it. */
function toInstant({ seconds, nanos }: Timestamp, path: string): number {
  if (seconds < -62_135_596_800n || seconds > 253_402_300_799n || nanos < 0 || nanos > 999_999_999) {
    throw invalidField(path, "send a time from the year 1 to 9999");
  }
  return Number(seconds) * 1000 + nanos / 1_000_000;
}

function toMaxAge({ seconds, nanos }: Duration): number {
  if (seconds < 0n || nanos < 0) throw invalidField("max_age", "send a duration that is not negative");
  return Number(seconds) * 1000 + nanos / 1_000_000;
}

function fromStep(step: Step): MessageInitShape<typeof EvaluateSignInResponse_StepSchema> {
  switch (step.kind) {
    case "check_password":
      return { kind: Kind.CHECK_PASSWORD };
    case "check_passkey":
      return { kind: Kind.CHECK_PASSKEY };
    case "sign_in_with_provider":
      return { kind: Kind.SIGN_IN_WITH_PROVIDER, providerIds: [...step.providerIds] };
    case "check_second_factor":
      return { kind: Kind.CHECK_SECOND_FACTOR, secondFactors: fromSecondFactors(step.types) };
    case "set_up_second_factor":
      return {
        kind: Kind.SET_UP_SECOND_FACTOR,
        secondFactors: fromSecondFactors(step.types),
        skippable: step.skippable,
      };
  }
}
