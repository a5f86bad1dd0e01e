import { nameAnswer } from "@portcullis/rpc";
import { errors, type KoaContextWithOIDC, type Provider } from "oidc-provider";
import type { LimitedLog } from "../../process/limited-log.ts";

/** The log messages of refusals, by the event of oidc-provider. */
const messages = {
  "grant.error": "grant refused",
  "introspection.error": "introspection refused",
  "revocation.error": "revocation refused",
  "authorization.error": "sign-in refused",
  "end_session.error": "sign-out refused",
} as const;

/** Normal outcomes of a sign-in: the application asked without a prompt, or the user declined. */
const outcomes: ReadonlySet<string> = new Set([
  "access_denied",
  "login_required",
  "consent_required",
  "interaction_required",
]);

/** A reason may contain a text of the caller. */
const maxReasonLength = 400;

/** Logs the reasons for refused requests at info. Callers get less detail, but an operator needs it to correct the cause. */
export function logRefusals(provider: Provider, limitedLog: LimitedLog): void {
  for (const [event, message] of Object.entries(messages)) {
    // The listeners of all these events have the same type.
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
    // The id of an unknown client may be a secret in the wrong field.
    clientId: oidc.client?.clientId,
    error: error.error,
    reason: reasonOf(error)?.slice(0, maxReasonLength),
  };
}

/** With a cause, the detail may quote the request. The only such refusal of a grant is that of PKCE. */
function reasonOf(error: errors.OIDCProviderError): string | undefined {
  const { error_detail: detail, error_description: description, cause } = error;
  if (cause === undefined) return detail ?? description;
  return error instanceof errors.InvalidGrant ? "the code_verifier does not match the code_challenge" : description;
}
