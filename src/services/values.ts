import { create } from "@bufbuild/protobuf";
import { DurationSchema, type Timestamp, TimestampSchema, type Duration as WireDuration } from "@bufbuild/protobuf/wkt";
import { MultiFactorType, PasswordlessType, SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import type { MultiFactor, SecondFactor } from "../domain/login-policy/factors.ts";
import type { Duration, LoginPolicy } from "../domain/login-policy/settings.ts";

// Values that the messages of all services share.

export const secondFactorTypes = {
  otp: SecondFactorType.OTP,
  u2f: SecondFactorType.U2F,
  otp_email: SecondFactorType.OTP_EMAIL,
  otp_sms: SecondFactorType.OTP_SMS,
  recovery_codes: SecondFactorType.RECOVERY_CODES,
} as const satisfies Record<SecondFactor, SecondFactorType>;

export const multiFactorTypes = {
  u2f_with_verification: MultiFactorType.U2F_WITH_VERIFICATION,
} as const satisfies Record<MultiFactor, MultiFactorType>;

/** The factor with this wire number; undefined for `unspecified` and for unknown numbers. */
export const secondFactorOf = (type: SecondFactorType) => nameOf<SecondFactor>(secondFactorTypes, type);
export const multiFactorOf = (type: MultiFactorType) => nameOf<MultiFactor>(multiFactorTypes, type);

function nameOf<Name extends string>(types: Readonly<Record<Name, number>>, type: number): Name | undefined {
  return (Object.keys(types) as Name[]).find((name) => types[name] === type);
}

export const fromSecondFactors = (factors: readonly SecondFactor[]) =>
  factors.map((factor) => secondFactorTypes[factor]);
export const fromMultiFactors = (factors: readonly MultiFactor[]) => factors.map((factor) => multiFactorTypes[factor]);

/** Both parts fit a JavaScript number, because the validation interceptor enforces protobuf's range. */
export const toDuration = (duration: WireDuration | undefined): Duration =>
  duration === undefined ? { seconds: 0, nanos: 0 } : { seconds: Number(duration.seconds), nanos: duration.nanos };

export const fromDuration = ({ seconds, nanos }: Duration): WireDuration =>
  create(DurationSchema, { seconds: BigInt(seconds), nanos });

/** `ms` are milliseconds since 1970 UTC. */
export const fromInstant = (ms: number): Timestamp =>
  create(TimestampSchema, {
    seconds: BigInt(Math.floor(ms / 1000)),
    // Counts forward, also before 1970.
    nanos: (((ms % 1000) + 1000) % 1000) * 1_000_000,
  });

/** The settings and sets of a policy, as fields that the messages of all services share. */
export function fromPolicyValues({ settings, secondFactors, multiFactors }: LoginPolicy) {
  return {
    ...settings,
    passwordlessType: settings.passwordlessType === "allowed" ? PasswordlessType.ALLOWED : PasswordlessType.NOT_ALLOWED,
    passwordCheckLifetime: fromDuration(settings.passwordCheckLifetime),
    externalLoginCheckLifetime: fromDuration(settings.externalLoginCheckLifetime),
    mfaInitSkipLifetime: fromDuration(settings.mfaInitSkipLifetime),
    secondFactorCheckLifetime: fromDuration(settings.secondFactorCheckLifetime),
    multiFactorCheckLifetime: fromDuration(settings.multiFactorCheckLifetime),
    secondFactors: fromSecondFactors(secondFactors),
    multiFactors: fromMultiFactors(multiFactors),
  };
}
