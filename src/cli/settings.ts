import { type Command, Option } from "commander";
import { postgresSettings } from "../store/postgres/settings.ts";

/** A setting of the server. docs/settings.md has the same table. */
export interface Setting {
  /** In the form that commander parses. */
  readonly flag: string;
  /** The environment variable; absent: none. */
  readonly env?: string;
  readonly description: string;
  /** The default as the help shows it; absent: none. */
  readonly default?: string;
  /** Whether commander applies that default. Otherwise the code that uses the setting does. */
  readonly isValue?: boolean;
  /** Separates several values in the environment; absent: one value only. */
  readonly separator?: RegExp;
}

/** The settings of every command that opens a store. */
export const storeSettings: readonly Setting[] = [
  {
    flag: "--data <dir>",
    env: "PORTCULLIS_DATA",
    description: "directory of the store and of admin.token",
    default: "./data",
    isValue: true,
  },
  {
    flag: "--store <location>",
    env: "PORTCULLIS_STORE",
    description: "sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or memory:",
    default: "sqlite:DIR/portcullis.db",
  },
  {
    flag: "--store-file <file>",
    env: "PORTCULLIS_STORE_FILE",
    description: "file with the value of --store, for a location that contains a password",
  },
  {
    flag: "--postgres-pool-size <n>",
    env: "PORTCULLIS_POSTGRES_POOL_SIZE",
    description: "most connections that this process opens",
    default: String(postgresSettings.poolSize.default),
  },
  {
    flag: "--postgres-statement-timeout <ms>",
    env: "PORTCULLIS_POSTGRES_STATEMENT_TIMEOUT",
    description: "milliseconds that a statement may take",
    default: String(postgresSettings.statementTimeoutMs.default),
  },
  {
    flag: "--postgres-connect-timeout <ms>",
    env: "PORTCULLIS_POSTGRES_CONNECT_TIMEOUT",
    description: "milliseconds to wait for a connection",
    default: String(postgresSettings.connectTimeoutMs.default),
  },
];

/** The settings of `serve`. */
export const serverSettings: readonly Setting[] = [
  {
    flag: "--listen <host:port>",
    env: "PORTCULLIS_LISTEN",
    description: "address to serve on; port 0 picks a free one",
    default: "127.0.0.1:8080",
    isValue: true,
  },
  {
    flag: "--reuse-port [true|false]",
    env: "PORTCULLIS_REUSE_PORT",
    description:
      "let several processes of one user serve the address of --listen, each with this flag (not on macOS or Windows)",
  },
  ...storeSettings,
  {
    flag: "--tls-cert <file>",
    env: "PORTCULLIS_TLS_CERT",
    description: "certificate chain (PEM), which turns on TLS; reloaded when the file changes",
  },
  {
    flag: "--tls-key <file>",
    env: "PORTCULLIS_TLS_KEY",
    description: "private key of the certificate (PEM)",
  },
  {
    flag: "--tls-client-ca <file>",
    env: "PORTCULLIS_TLS_CLIENT_CA",
    description: "certificates (PEM) of authorities; every client must send a certificate that one of them signed",
  },
  {
    flag: "--cors-origin <origin>",
    env: "PORTCULLIS_CORS_ORIGIN",
    description: "origin of pages that may call; repeat the option, or separate several by commas",
    separator: /,/,
  },
  {
    flag: "--cors-header <name>",
    env: "PORTCULLIS_CORS_HEADER",
    description: "request header that those pages may send beside those of the API; several as for --cors-origin",
    separator: /,/,
  },
  {
    flag: "--issuer [url]",
    env: "PORTCULLIS_ISSUER",
    description: "turn on the built-in OpenID issuer at this origin (without a value: at the address of --listen)",
  },
  {
    flag: "--oidc-issuer <url[,name=value…]>",
    env: "PORTCULLIS_OIDC_ISSUER",
    description:
      "accept access tokens of an OpenID issuer; repeat the option for several. Settings: audience (default: portcullis), " +
      "role-claim (default: that of ZITADEL), instance-roles, client-id and client-secret-file (for introspection)",
    // Each issuer begins with its URL.
    separator: /\s+(?=https?:)/,
  },
  {
    flag: "--trusted-proxy <address>",
    env: "PORTCULLIS_TRUSTED_PROXY",
    description: "address or range of proxies whose Forwarded headers are trusted; several as for --cors-origin",
    separator: /,/,
  },
  {
    flag: "--calls-per-caller <n>",
    env: "PORTCULLIS_CALLS_PER_CALLER",
    description: "unary calls of one user that run at once; ten times as many wait",
    default: "200",
  },
  {
    flag: "--watches-per-caller <n>",
    env: "PORTCULLIS_WATCHES_PER_CALLER",
    description: "watches of login policies that one user has open at once",
    default: "1000",
  },
  {
    flag: "--debug-listen <host:port>",
    env: "PORTCULLIS_DEBUG_LISTEN",
    description: "separate address for /debug: health, readiness, metrics",
    default: "that of --listen",
  },
  {
    flag: "--drain-delay <ms>",
    env: "PORTCULLIS_DRAIN_DELAY",
    description: "milliseconds of service after SIGTERM, while load balancers see that the server is not ready",
    default: "0",
  },
  {
    flag: "--log-level <level>",
    env: "PORTCULLIS_LOG_LEVEL",
    description: "error, warn, info, or debug for a line for each call",
    default: "info",
  },
  {
    flag: "--log-format <format>",
    env: "PORTCULLIS_LOG_FORMAT",
    description: "json or text",
    default: "text at a terminal, else json",
  },
  {
    flag: "--dev",
    description: "for development on this machine: turn on the issuer, and let pages of every origin call",
  },
];

const storeHeading = "Options of the store:";

/** Whether an option is one of `storeSettings`. */
export const isOfStore = (option: Option): boolean => option.helpGroupHeading === storeHeading;

export function toOption(all: Setting): Option {
  const { flag, env, description, separator, ...setting } = all;
  const isShown = setting.default !== undefined && !setting.isValue;
  const option = new Option(flag, isShown ? `${description} (default: ${setting.default})` : description);
  if (storeSettings.includes(all)) option.helpGroup(storeHeading);
  if (setting.isValue) option.default(setting.default);
  if (env !== undefined) option.env(env);
  if (separator !== undefined) option.argParser(collect(separator));
  return option;
}

/** Adds settings to a command. */
export function withSettings(command: Command, settings: readonly Setting[]): Command {
  for (const setting of settings) command.addOption(toOption(setting));
  return command;
}

/** Collects the values of a repeated flag. */
const collect =
  (separator: RegExp) =>
  (text: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...text.split(separator).map((part) => part.trim()),
  ];
