/** Second factors, in the order of their wire numbers (1 to 5). `otp` is a time-based one-time password. */
export const secondFactors = ["otp", "u2f", "otp_email", "otp_sms", "recovery_codes"] as const;
export type SecondFactor = (typeof secondFactors)[number];

/** Multi-factors: one device proves possession and identity together. */
export const multiFactors = ["u2f_with_verification"] as const;
export type MultiFactor = (typeof multiFactors)[number];

/** A factor in a request: undefined for an unspecified or unknown wire number. */
export type Named<Factor> = Factor | undefined;
