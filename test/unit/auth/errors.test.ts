import { describe, expect, it } from "vitest";
import { AuthError, type AuthErrorCode, authRefusals } from "../../../src/auth/errors.ts";

// ZITADEL's ids and texts; token_invalid is a sentence where ZITADEL shows a raw key, the doubled header and the absent issuer are ours.
const published: Readonly<Record<AuthErrorCode, readonly [kind: string, id: string | undefined, text: string]>> = {
  header_missing: ["unauthenticated", undefined, "auth header missing"],
  header_invalid: ["unauthenticated", "AUTH-7fs1e", "invalid auth header"],
  token_invalid: ["unauthenticated", "AUTH-7fs1e", "The access token is unknown, expired or revoked"],
  api_scope_missing: [
    "unauthenticated",
    "AUTH-7fs1e",
    "The access token is not for this API: request one with the scope urn:zitadel:iam:org:project:id:zitadel:aud",
  ],
  issuer_unavailable: [
    "unavailable",
    undefined,
    "the token cannot be checked, because its issuer does not answer; try again",
  ],
  organization_header_invalid: ["invalid", undefined, "the header x-zitadel-orgid must be sent once"],
  organization_unknown: ["permission_denied", "AUTH-Bs7Ds", "Organisation doesn't exist"],
  permission_missing: ["permission_denied", "AUTH-5mWD2", "No matching permissions found"],
};

describe("AuthError", () => {
  it.each(Object.entries(published) as [AuthErrorCode, (typeof published)[AuthErrorCode]][])(
    "%s is as published",
    (code, [kind, id, text]) => {
      const error = new AuthError(code);
      expect([error.name, error.code, error.kind, error.id, error.message]).toEqual([
        "AuthError",
        code,
        kind,
        id,
        text,
      ]);
    },
  );

  it("has no code beyond these", () => {
    expect(Object.keys(authRefusals).sort()).toEqual(Object.keys(published).sort());
  });
});
