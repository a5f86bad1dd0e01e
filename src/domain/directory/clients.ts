import type { ClientEvent, ClientRegistration } from "../events.ts";
import { isLoopback } from "../loopback.ts";
import { DirectoryError } from "./errors.ts";
import { checkName } from "./names.ts";

export function addClient(
  registration: ClientRegistration,
  { nameTaken }: { readonly nameTaken: boolean },
): ClientEvent[] {
  checkName(registration.name);
  if (nameTaken)
    throw new DirectoryError("name_taken", `there is an application named ${registration.name}: choose another name`);
  if (registration.redirectUris.length === 0) {
    throw new DirectoryError("redirect_uri_missing", "an application needs at least one redirect URI");
  }
  for (const uri of registration.redirectUris) checkRedirectUri(uri);
  checkApplicationType(registration.redirectUris);
  return [{ type: "ClientAdded", version: 1, payload: registration }];
}

export const removeClient = (): ClientEvent[] => [{ type: "ClientRemoved", version: 1, payload: {} }];

/**
 * The redirect carries a code, which must not cross a network in plaintext: plain http is for loopback only. A native
 * application may use a private scheme, which contains a dot (RFC 8252, section 7.1).
 */
function checkRedirectUri(uri: string): void {
  const [, scheme = "", host = ""] = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#@]*?)(?::\d+)?(?:[/?]|$))?/.exec(uri) ?? [];
  const isWeb = scheme === "https" ? host !== "" : scheme === "http" && isLoopback(host);
  if (
    !URL.canParse(uri) ||
    uri.length > 2000 ||
    !/^[\x21-\x7e]+$/.test(uri) ||
    /[#*"<>\\^`{|}]/.test(uri) ||
    !(isWeb || scheme.includes("."))
  ) {
    throw new DirectoryError(
      "redirect_uri_invalid",
      `a redirect URI is https://…, http:// on this machine (127.0.0.1, [::1] or localhost), or has a private scheme that contains a dot; it has no fragment and no wildcard: ${uri}`,
    );
  }
}

/** A redirect URI other than https makes a client a native one, and OpenID Connect forbids those https on loopback. */
function checkApplicationType(uris: readonly string[]): void {
  const local = uris.find((uri) => /^https:\/\/(localhost|127\.|\[::1\])/.test(uri));
  const native = uris.find((uri) => !uri.startsWith("https:"));
  if (local === undefined || native === undefined) return;
  throw new DirectoryError(
    "redirect_uri_invalid",
    `one application cannot have both ${local} and ${native}: use http for this machine`,
  );
}
