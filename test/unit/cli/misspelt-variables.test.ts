import { expect, it } from "vitest";
import { misspeltVariables } from "../../../src/cli/misspelt-variables.ts";
import { serverSettings } from "../../../src/cli/settings.ts";

const warnedOf = (...names: string[]) => misspeltVariables(Object.fromEntries(names.map((name) => [name, "a-secret"])));

it.each([
  ["PORTCULLIS_LISTN", "PORTCULLIS_LISTEN"],
  ["PORTCULLIS_LSITEN", "PORTCULLIS_LISTEN"],
  ["PORTCULLIS_LISTEN_", "PORTCULLIS_LISTEN"],
  ["PORTCULLIS_DATE", "PORTCULLIS_DATA"],
  ["PORTCULLIS_CORS_ORIGINS", "PORTCULLIS_CORS_ORIGIN"],
  ["PORTCULLIS_TRUSTED_PROXIES", "PORTCULLIS_TRUSTED_PROXY"],
  ["PORTCULLIS_LOGLEVEL", "PORTCULLIS_LOG_LEVEL"],
  ["PORTCULLIS_TLSCERT", "PORTCULLIS_TLS_CERT"],
  ["PORTCULLIS_ADMIN_TOKENFILE", "PORTCULLIS_ADMIN_TOKEN_FILE"],
  ["PORTCULLIS_ADMIN_TOKN", "PORTCULLIS_ADMIN_TOKEN"],
  ["PORTCULLIS_POSTGRES_POOLSIZE", "PORTCULLIS_POSTGRES_POOL_SIZE"],
])("takes %s for %s", (name, meant) => {
  expect(warnedOf(name)).toEqual([`${name} is not a setting and is ignored: did you mean ${meant}?`]);
});

it("says nothing of what it knows, nor of what is like nothing it knows", () => {
  const known = serverSettings.flatMap(({ env = [] }) => env);
  expect(known.length).toBeGreaterThan(15);
  expect(warnedOf(...known, "PORTCULLIS_ADMIN_TOKEN", "PORTCULLIS_ADMIN_TOKEN_FILE")).toEqual([]);
  expect(warnedOf("PORTCULLIS_TOKEN", "PORTCULLIS_URL", "PORTCULLIS_VERSION", "PORTCULLIS_", "LISTN")).toEqual([]);
});

// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
it.each(["", "_DEBUG", "_STORE", "_LISTEN", "_DATA"])(
  "says nothing of what Kubernetes sets for a service named portcullis%s",
  (service) => {
    const one = `PORTCULLIS${service}`;
    const ports = [
      "PORT",
      "PORT_8080_TCP",
      "PORT_53_UDP",
      "PORT_8080_TCP_ADDR",
      "PORT_8080_TCP_PORT",
      "PORT_8080_TCP_PROTO",
    ];
    const names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "SERVICE_PORT_GRPC_WEB", ...ports];
    expect(warnedOf(...names.map((name) => `${one}_${name}`))).toEqual([]);
  },
);
