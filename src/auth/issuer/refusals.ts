import { nameAnswer } from "@portcullis/rpc";
import { errors, type KoaContextWithOIDC, type Provider } from "oidc-provider";
import type { LimitedLog } from "../../process/limited-log.ts";

/** What the log calls a refusal, by the event of oidc-provider. */
const messages = {
  "grant.error": "grant refused",
  "introspection.error": "introspection refused",
  "revocation.error": "revocation refused",
  "authorization.error": "sign-in refused",
  "end_session.error": "sign-out refused",
} as const;

/** What a sign-in may well end with: an application that asked without a prompt, or a user who said no. */
const outcomes: ReadonlySet<string> = new Set([
  "access_denied",
  "login_required",
  "consent_required",
  "interaction_required",
]);

/** Cuts what may hold a text of the caller. */
const maxReasonLength = 400;

/** Logs why requests are refused, at info: callers learn less, and an operator has to know what to change. */
export function logRefusals(provider: Provider, limitedLog: LimitedLog): void {
  for (const [event, message] of Object.entries(messages)) {
    // One type of listener fits them all.
    provider.on(event as "grant.error", (context, error) => {
      if (outcomes.has(error.error)) return;
      limitedLog(`${message}: ${error.error}`, "info", fieldsOf(context, error), message);
    });
  }
}

function fieldsOf({ oidc, req, res }: KoaContextWithOIDC, error: errors.OIDCProviderError) {
  return {
    requestId: nameAnswer(req, res),
    client: req.socket.remoteAddress,
    // Of a client that is not known, the id may be a secret in the wrong field.
    clientId: oidc.client?.clientId,
    error: error.error,
    reason: reasonOf(error)?.slice(0, maxReasonLength),
  };
}

/** Where oidc-provider caught another error, its text may quote what was sent. The only such refusal of a grant is PKCE's. */
function reasonOf(error: errors.OIDCProviderError): string | undefined {
  const { error_detail: detail, error_description: description, cause } = error;
  if (cause === undefined) return detail ?? description;
  return error instanceof errors.InvalidGrant ? "the code_verifier is not that of the code_challenge" : description;
}
