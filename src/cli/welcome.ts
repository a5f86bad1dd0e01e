import type { Config } from "../config.ts";

/** What a person at a terminal is told after the start: what is served, and what to try next. */
export function welcome({
  url,
  tokenFile,
  issuer,
  debugListen,
}: Pick<Config, "issuer" | "debugListen"> & { readonly url: string; readonly tokenFile: string }): string {
  const debug = debugListen === undefined ? url : `http://${debugListen.host}:${debugListen.port}`;
  return `
  gRPC, gRPC-Web, Connect   ${url}/zitadel.management.v1.ManagementService/…
  REST JSON                 ${url}/management/v1/… and /admin/v1/…, described at ${url}/openapi.json
  health, metrics           ${debug}/debug/ready and /debug/metrics${issuer === undefined ? "" : `\n  OpenID                    ${url}/.well-known/openid-configuration`}

Try:

  curl -X POST ${url}/management/v1/policies/login/second_factors/_search \\
    -H "Authorization: Bearer $(cat ${tokenFile})" -H 'Content-Type: application/json'

Ctrl-C ends it.
`;
}
