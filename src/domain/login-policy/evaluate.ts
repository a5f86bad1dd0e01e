import type { SecondFactor } from "./factors.ts";
import type { Duration } from "./settings.ts";
import type { Check, Evaluation, Person, Reason, SignIn, SignInPolicy, Step } from "./sign-in.ts";

/** A person of whom nothing is known is asked for a password, so that pages do not tell who exists. */
const unknownPerson: Person = { hasPassword: true, passkeyCount: 0, secondFactors: [], linkedProviderIds: [] };

/**
 * Says what a person must do now to sign in. Pure. It follows ZITADEL's own sign-in, but for the differences that the comments name.
 */
export function evaluate(policy: SignInPolicy, signIn: SignIn): Evaluation {
  const { person = unknownPerson, now } = signIn;
  const counting = signIn.checks.filter((check) => counts(policy, signIn, check));
  const first = firstFactor(policy, person, counting);
  if (first === undefined) return withoutFirstFactor(policy, person);

  const force = forcedBy(policy, first);
  const usable = usableFactors(policy, person);
  const isSetUp = usable.passkey || usable.types.length > 0;
  const isDue = force !== undefined || (first.kind === "password" && isSetUp);
  if (isDue && isSetUp) {
    const second = longest(
      policy,
      counting.filter((check) => isOneOf(check, usable)),
    );
    const reason = force ?? {
      path: "secondFactors",
      message: "The person has set up a second factor, so it is asked for.",
    };
    if (second === undefined) return stepRequired(checksOf(usable), [reason]);
    return allowed(policy, signIn, [first, second], [reason]);
  }
  const enrollable = policy.secondFactors.filter((type) => type !== "recovery_codes");
  if (force !== undefined) return enrollByForce(enrollable, { person, counting, force });
  if (first.kind !== "passkey" && !isSetUp && enrollable.length > 0 && isAskedToEnroll(policy, person, now)) {
    const message = "The person has no second factor, and did not skip setting one up within this time.";
    return stepRequired([enroll(enrollable, true)], [{ path: "mfaInitSkipLifetime", message }]);
  }
  return allowed(policy, signIn, [first], [reasonFor(first)]);
}

const ms = ({ seconds, nanos }: Duration): number => seconds * 1000 + nanos / 1_000_000;

function lifetimeOf({ settings }: SignInPolicy, { kind }: Check): number {
  switch (kind) {
    case "passkey":
      return ms(settings.multiFactorCheckLifetime);
    case "provider":
      return ms(settings.externalLoginCheckLifetime);
    case "password":
      return ms(settings.passwordCheckLifetime);
    case "second_factor":
      return ms(settings.secondFactorCheckLifetime);
  }
}

/** ZITADEL looks at the lifetime of a check of this sign-in too, and asks for ever where that is zero. */
function counts(policy: SignInPolicy, { startedAt, maxAge, now }: SignIn, check: Check): boolean {
  if (check.at >= startedAt) return true;
  const age = now - check.at;
  const lifetime = lifetimeOf(policy, check);
  // A check is up to a minute ahead where clocks differ.
  return lifetime > 0 && age < lifetime && (maxAge === undefined || age <= maxAge);
}

const allowsPasskeys = ({ settings, multiFactors }: SignInPolicy): boolean =>
  settings.passwordlessType === "allowed" && multiFactors.includes("u2f_with_verification");

/** The check that the sign-in begins with: a passkey, else a password, else a provider. */
function firstFactor(policy: SignInPolicy, person: Person, counting: readonly Check[]): Check | undefined {
  const { settings, identityProviders } = policy;
  const isAllowed = (check: Check): boolean => {
    switch (check.kind) {
      case "passkey":
        return allowsPasskeys(policy);
      case "password":
        return settings.allowUsernamePassword;
      case "provider":
        return (
          settings.allowExternalIdp &&
          identityProviders.some(({ id }) => id === check.id) &&
          person.linkedProviderIds.includes(check.id)
        );
      default:
        return false;
    }
  };
  const usable = counting.filter(isAllowed);
  for (const kind of ["passkey", "password", "provider"] as const) {
    const found = usable.filter((check) => check.kind === kind);
    // Of several providers, one that checked a second factor saves the person a step.
    const best =
      longest(
        policy,
        found.filter((check) => hasTrustedSecondFactor(policy, check)),
      ) ?? longest(policy, found);
    if (best !== undefined) return best;
  }
  return undefined;
}

/** The check that lasts longest. */
function longest(policy: SignInPolicy, checks: readonly Check[]): Check | undefined {
  const endOf = (check: Check) => check.at + lifetimeOf(policy, check);
  return checks.reduce<Check | undefined>(
    (best, check) => (best === undefined || endOf(check) > endOf(best) ? check : best),
    undefined,
  );
}

function withoutFirstFactor(policy: SignInPolicy, person: Person): Evaluation {
  const { settings, identityProviders } = policy;
  const steps: Step[] = [];
  const reasons: Reason[] = [];
  if (allowsPasskeys(policy)) {
    if (person.passkeyCount > 0) {
      steps.push({ kind: "check_passkey" });
      reasons.push({ path: "passwordlessType", message: "A passkey may replace the password." });
    }
  } else reasons.push({ path: "passwordlessType", message: "Signing in with a passkey is not allowed." });
  if (settings.allowUsernamePassword) {
    if (person.hasPassword) {
      steps.push({ kind: "check_password" });
      reasons.push({ path: "allowUsernamePassword", message: "Signing in with a password is allowed." });
    }
  } else reasons.push({ path: "allowUsernamePassword", message: "Signing in with a password is not allowed." });
  if (settings.allowExternalIdp) {
    if (identityProviders.length > 0) {
      steps.push({ kind: "sign_in_with_provider", providerIds: identityProviders.map(({ id }) => id) });
      reasons.push({ path: "identityProviders", message: "Signing in at these identity providers is allowed." });
    } else reasons.push({ path: "identityProviders", message: "The policy links no identity provider." });
  } else reasons.push({ path: "allowExternalIdp", message: "Signing in at an identity provider is not allowed." });
  return steps.length > 0 ? stepRequired(steps, reasons) : { decision: "impossible", steps: [], reasons };
}

/** ZITADEL does not look at what a provider has checked. */
const hasTrustedSecondFactor = ({ identityProviders }: SignInPolicy, check: Check): boolean =>
  check.kind === "provider" &&
  check.amr.includes("mfa") &&
  identityProviders.some(({ id, trustSecondFactor }) => id === check.id && trustSecondFactor);

/** The setting that asks for a second factor after this first one. */
function forcedBy(policy: SignInPolicy, first: Check): Reason | undefined {
  const { forceMfa, forceMfaLocalOnly } = policy.settings;
  if (first.kind === "password") {
    if (forceMfa) return { path: "forceMfa", message: "Every sign-in needs a second factor." };
    if (forceMfaLocalOnly) {
      return { path: "forceMfaLocalOnly", message: "Every sign-in with a password needs a second factor." };
    }
  }
  if (first.kind === "provider" && forceMfa && !forceMfaLocalOnly && !hasTrustedSecondFactor(policy, first)) {
    return { path: "forceMfa", message: "Every sign-in needs a second factor." };
  }
  return undefined;
}

interface Factors {
  readonly passkey: boolean;
  readonly types: readonly SecondFactor[];
}

/** The factors that the person has set up and the policy allows. Recovery codes are one only beside another. */
function usableFactors({ secondFactors, multiFactors }: SignInPolicy, person: Person): Factors {
  const passkey = person.passkeyCount > 0 && multiFactors.includes("u2f_with_verification");
  const types = secondFactors.filter((type) => person.secondFactors.includes(type));
  const hasAnother = passkey || types.some((type) => type !== "recovery_codes");
  return { passkey, types: hasAnother ? types : [] };
}

const isOneOf = (check: Check, { passkey, types }: Factors): boolean =>
  (check.kind === "passkey" && passkey) || (check.kind === "second_factor" && types.includes(check.type));

const checksOf = ({ passkey, types }: Factors): Step[] => [
  ...(passkey ? [{ kind: "check_passkey" } as const] : []),
  ...(types.length > 0 ? [{ kind: "check_second_factor", types } as const] : []),
];

const enroll = (types: readonly SecondFactor[], skippable: boolean): Step => ({
  kind: "set_up_second_factor",
  types,
  skippable,
});

/** ZITADEL lets a password alone set up a new factor over one that is no longer allowed. */
function enrollByForce(
  types: readonly SecondFactor[],
  { person, counting, force }: { readonly person: Person; readonly counting: readonly Check[]; readonly force: Reason },
): Evaluation {
  if (types.length === 0) {
    const none: Reason = { path: "secondFactors", message: "The policy allows no second factor that could be set up." };
    return { decision: "impossible", steps: [], reasons: [force, none] };
  }
  const held: Factors = { passkey: person.passkeyCount > 0, types: [...new Set(person.secondFactors)] };
  const old = checksOf(held);
  if (old.length > 0 && !counting.some((check) => isOneOf(check, held))) {
    const message = "The person has a factor that is no longer allowed. It is checked before another one is set up.";
    return stepRequired(old, [force, { path: "secondFactors", message }]);
  }
  return stepRequired([enroll(types, false)], [force]);
}

function isAskedToEnroll({ settings }: SignInPolicy, { setupSkippedAt }: Person, now: number): boolean {
  const lifetime = ms(settings.mfaInitSkipLifetime);
  return lifetime > 0 && (setupSkippedAt === undefined || now - setupSkippedAt > lifetime);
}

const stepRequired = (steps: readonly Step[], reasons: readonly Reason[]): Evaluation => ({
  decision: "step_required",
  steps,
  reasons,
});

function allowed(
  policy: SignInPolicy,
  { maxAge }: SignIn,
  checks: readonly Check[],
  reasons: readonly Reason[],
): Evaluation {
  const ends = checks.flatMap((check) => {
    const lifetime = lifetimeOf(policy, check);
    return lifetime > 0 ? [check.at + Math.min(lifetime, maxAge ?? lifetime)] : [];
  });
  return { decision: "allowed", steps: [], reasons, ...(ends.length > 0 && { expiresAt: Math.min(...ends) }) };
}

function reasonFor({ kind }: Check): Reason {
  if (kind === "passkey") return { path: "passwordlessType", message: "A passkey is both factors in one." };
  if (kind === "provider") return { path: "forceMfa", message: "No second factor is asked for after this provider." };
  return { path: "forceMfa", message: "No second factor is asked for." };
}
