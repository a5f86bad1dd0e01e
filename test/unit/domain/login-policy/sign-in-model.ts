import type { SignIn, SignInPolicy } from "../../../../src/domain/login-policy/sign-in.ts";

// The rules once more, in the order of the specification, as plainly as they can be written: one flat function that works on words. It
// shares nothing with the source but the types of what goes in.

export function model(policy: SignInPolicy, signIn: SignIn): string {
  const s = policy.settings;
  const user = signIn.person ?? { hasPassword: true, passkeyCount: 0, secondFactors: [], linkedProviderIds: [] };
  const millis = (d: { seconds: number; nanos: number }) => d.seconds * 1000 + d.nanos / 1e6;

  // 1. What counts: words such as "passkey", "password", "provider:a", "mfa-provider:a", "factor:otp".
  const good = new Set<string>();
  for (const c of signIn.checks) {
    let life = 0;
    if (c.kind === "passkey") life = millis(s.multiFactorCheckLifetime);
    if (c.kind === "password") life = millis(s.passwordCheckLifetime);
    if (c.kind === "provider") life = millis(s.externalLoginCheckLifetime);
    if (c.kind === "second_factor") life = millis(s.secondFactorCheckLifetime);
    const isOfThisSignIn = c.at >= signIn.startedAt;
    const lasts = life > 0 && signIn.now < c.at + life;
    const isYoung = signIn.maxAge === undefined || signIn.now <= c.at + signIn.maxAge;
    if (!isOfThisSignIn && !(lasts && isYoung)) continue;
    if (c.kind === "provider") {
      good.add(`provider:${c.id}`);
      if (c.amr.includes("mfa")) good.add(`mfa-provider:${c.id}`);
    } else if (c.kind === "second_factor") good.add(`factor:${c.type}`);
    else good.add(c.kind);
  }

  // 2. The first factor.
  const multi = policy.multiFactors.includes("u2f_with_verification");
  const passkeyAllowed = multi && s.passwordlessType === "allowed";
  const linked = policy.identityProviders.map((p) => p.id);
  let first = "";
  if (passkeyAllowed && good.has("passkey")) first = "passkey";
  else if (s.allowUsernamePassword && good.has("password")) first = "password";
  else if (s.allowExternalIdp && linked.some((id) => user.linkedProviderIds.includes(id) && good.has(`provider:${id}`)))
    first = "provider";
  if (first === "") {
    const ways: string[] = [];
    if (passkeyAllowed && user.passkeyCount > 0) ways.push("passkey");
    if (s.allowUsernamePassword && user.hasPassword) ways.push("password");
    if (s.allowExternalIdp && linked.length > 0) ways.push(`providers ${linked.join(" ")}`);
    return ways.length === 0 ? "impossible" : ways.join(", ");
  }

  // 4. What is set up.
  const own: string[] = policy.secondFactors.filter((f) => user.secondFactors.includes(f)).map((f) => `factor:${f}`);
  if (multi && user.passkeyCount > 0) own.unshift("passkey");
  const setUp = own.join() === "factor:recovery_codes" ? [] : own;

  // 3. Is it due?
  let forced = false;
  if (first === "password") forced = s.forceMfa || s.forceMfaLocalOnly;
  if (first === "provider") {
    const trusted = policy.identityProviders.some(
      (p) => p.trustSecondFactor && user.linkedProviderIds.includes(p.id) && good.has(`mfa-provider:${p.id}`),
    );
    forced = s.forceMfa && !s.forceMfaLocalOnly && !trusted;
  }
  const words = (factors: readonly string[]) => {
    const types = factors.filter((f) => f !== "passkey").map((f) => f.replace("factor:", ""));
    return [
      ...(factors.includes("passkey") ? ["passkey"] : []),
      ...(types.length ? [`factors ${types.join(" ")}`] : []),
    ];
  };
  if (forced || (first === "password" && setUp.length > 0)) {
    // 5.
    if (setUp.length > 0) return setUp.some((f) => good.has(f)) ? "allowed" : words(setUp).join(", ");
    // 6.
    const possible = policy.secondFactors.filter((f) => f !== "recovery_codes");
    if (possible.length === 0) return "impossible";
    const old = [
      ...(user.passkeyCount > 0 ? ["passkey"] : []),
      ...new Set(user.secondFactors.map((f) => `factor:${f}`)),
    ];
    if (old.length > 0 && !old.some((f) => good.has(f))) return words(old).join(", ");
    return `set up ${possible.join(" ")}`;
  }
  // 7.
  const possible = policy.secondFactors.filter((f) => f !== "recovery_codes");
  const skip = millis(s.mfaInitSkipLifetime);
  const isSkipped = user.setupSkippedAt !== undefined && signIn.now <= user.setupSkippedAt + skip;
  if (first !== "passkey" && setUp.length === 0 && possible.length > 0 && skip > 0 && !isSkipped) {
    return `may set up ${possible.join(" ")}`;
  }
  return "allowed";
}
