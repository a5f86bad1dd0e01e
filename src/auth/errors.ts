import { apiScope, organizationHeader } from "../wire-names.ts";

/** Why a caller is refused. */
export type AuthErrorKind = "unauthenticated" | "permission_denied" | "invalid" | "unavailable";

interface AuthRefusal {
  readonly kind: AuthErrorKind;
  /** ZITADEL's error id, which clients match; absent if ZITADEL sends none. */
  readonly id?: string;
  readonly text: string;
}

/** All refusals of the request gate, with their texts. */
export const authRefusals = {
  header_missing: { kind: "unauthenticated", text: "auth header missing" },
  header_invalid: { kind: "unauthenticated", id: "AUTH-7fs1e", text: "invalid auth header" },
  token_invalid: {
    kind: "unauthenticated",
    id: "AUTH-7fs1e",
    text: "The access token is unknown, expired or revoked",
  },
  api_scope_missing: {
    kind: "unauthenticated",
    id: "AUTH-7fs1e",
    text: `The access token is not for this API: request one with the scope ${apiScope}`,
  },
  issuer_unavailable: {
    kind: "unavailable",
    text: "the token cannot be checked, because its issuer does not answer; try again",
  },
  organization_header_invalid: { kind: "invalid", text: `the header ${organizationHeader} must be sent once` },
  organization_unknown: { kind: "permission_denied", id: "AUTH-Bs7Ds", text: "Organisation doesn't exist" },
  permission_missing: { kind: "permission_denied", id: "AUTH-5mWD2", text: "No matching permissions found" },
} as const satisfies Record<string, AuthRefusal>;

export type AuthErrorCode = keyof typeof authRefusals;

/** A refusal of the request gate. */
export class AuthError extends Error {
  override readonly name = "AuthError";
  readonly code: AuthErrorCode;
  readonly kind: AuthErrorKind;
  readonly id: string | undefined;

  constructor(code: AuthErrorCode) {
    const { kind, id, text }: AuthRefusal = authRefusals[code];
    super(text);
    this.code = code;
    this.kind = kind;
    this.id = id;
  }
}
