/** Second factors, in the order of their wire numbers (1 to 5). `otp` is a time-based one-time password. */
export const secondFactors = ["otp", "u2f", "otp_email", "otp_sms", "recovery_codes"] as const;
export type SecondFactor = (typeof secondFactors)[number];

/** Multi-factors: one device that proves possession and identity at once. */
export const multiFactors = ["u2f_with_verification"] as const;
export type MultiFactor = (typeof multiFactors)[number];

/** What a caller named: a factor, or a value that stands for none (an unspecified or undefined wire number). */
export type Named<Factor> = Factor | undefined;
