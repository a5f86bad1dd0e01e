import type { Config } from "../config.ts";

/** The text for a person at a terminal after the start: addresses, and a first call. */
export function welcome({
  url,
  tokenPlace,
  issuer,
  debugListen,
}: Pick<Config, "issuer" | "debugListen"> & { readonly url: string; readonly tokenPlace: string }): string {
  const debug = debugListen === undefined ? url : `http://${bracketed(debugListen.host)}:${debugListen.port}`;
  const file = /^in (.*)$/s.exec(tokenPlace)?.[1];
  const token = file === undefined ? "$TOKEN" : `$(cat '${file}')`;
  const about =
    file === undefined ? " (TOKEN is the token of a user; `token create --user admin` prints a new one)" : "";
  return `
  gRPC, gRPC-Web, Connect   ${url}/zitadel.management.v1.ManagementService/…
  REST JSON                 ${url}/management/v1/… and /admin/v1/…, documented at ${url}/openapi.json
  health, metrics           ${debug}/debug/ready and /debug/metrics${issuer === undefined ? "" : `\n  OpenID                    ${url}/.well-known/openid-configuration`}

Try${about}:

  curl -X POST ${url}/management/v1/policies/login/second_factors/_search \\
    -H "Authorization: Bearer ${token}" -H 'Content-Type: application/json'

Press Ctrl-C to stop.
`;
}

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);
