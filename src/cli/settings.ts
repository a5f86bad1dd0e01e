import { type Command, Option } from "commander";
import { postgresSettings } from "../store/postgres/settings.ts";

/** A setting of the server: how it is given, and what it is without. docs/settings.md has the same table. */
export interface Setting {
  /** As commander reads it. */
  readonly flag: string;
  /** Absent: it is never in the environment. */
  readonly env?: string;
  readonly description: string;
  /** What applies where nothing is given, told to people; absent: nothing does. */
  readonly default?: string;
  /** Whether that is also what the program reads; else the part of it that takes the setting has its own. */
  readonly isValue?: boolean;
  /** Between several in the environment; absent: there can be one only. */
  readonly separator?: RegExp;
}

/** Where the store is, and how it is used: of every command that opens one. */
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
    description: "file that holds what --store would be given, for one with a password in it",
  },
  {
    flag: "--postgres-pool-size <n>",
    env: "PORTCULLIS_POSTGRES_POOL_SIZE",
    description: "the most connections of this process",
    default: String(postgresSettings.poolSize.default),
  },
  {
    flag: "--postgres-statement-timeout <ms>",
    env: "PORTCULLIS_POSTGRES_STATEMENT_TIMEOUT",
    description: "how long a statement may take",
    default: String(postgresSettings.statementTimeoutMs.default),
  },
  {
    flag: "--postgres-connect-timeout <ms>",
    env: "PORTCULLIS_POSTGRES_CONNECT_TIMEOUT",
    description: "how long to wait for a connection",
    default: String(postgresSettings.connectTimeoutMs.default),
  },
];

/** All of the server's. */
export const serverSettings: readonly Setting[] = [
  {
    flag: "--listen <host:port>",
    env: "PORTCULLIS_LISTEN",
    description: "address to serve on; port 0 picks a free one",
    default: "127.0.0.1:8080",
    isValue: true,
  },
  ...storeSettings,
  {
    flag: "--tls-cert <file>",
    env: "PORTCULLIS_TLS_CERT",
    description: "certificate chain (PEM): serve TLS; read again when it changes",
  },
  {
    flag: "--tls-key <file>",
    env: "PORTCULLIS_TLS_KEY",
    description: "private key of the certificate (PEM)",
  },
  {
    flag: "--tls-client-ca <file>",
    env: "PORTCULLIS_TLS_CLIENT_CA",
    description: "certificates (PEM) of authorities: a client must show a certificate that one of them signed",
  },
  {
    flag: "--cors-origin <origin>",
    env: "PORTCULLIS_CORS_ORIGIN",
    description: "origin whose pages may call; repeat it, or separate several by commas",
    separator: /,/,
  },
  {
    flag: "--cors-header <name>",
    env: "PORTCULLIS_CORS_HEADER",
    description: "request header that those pages may send besides what clients of the API do; as --cors-origin",
    separator: /,/,
  },
  {
    flag: "--issuer [url]",
    env: "PORTCULLIS_ISSUER",
    description: "be an OpenID issuer for users of this instance, at an origin (without it: where the server listens)",
  },
  {
    flag: "--oidc-issuer <url[,name=value…]>",
    env: "PORTCULLIS_OIDC_ISSUER",
    description:
      "accept access tokens of an OpenID issuer; repeat it for several. Settings: audience (default: portcullis), " +
      "role-claim (default: ZITADEL's), instance-roles, client-id and client-secret-file (for introspection)",
    // A URL begins each.
    separator: /\s+(?=https?:)/,
  },
  {
    flag: "--trusted-proxy <address>",
    env: "PORTCULLIS_TRUSTED_PROXY",
    description: "proxy, or range of them, whose Forwarded headers count; as --cors-origin",
    separator: /,/,
  },
  {
    flag: "--calls-per-caller <n>",
    env: "PORTCULLIS_CALLS_PER_CALLER",
    description: "unary calls of one user in flight; ten times as many wait for them",
    default: "200",
  },
  {
    flag: "--debug-listen <host:port>",
    env: "PORTCULLIS_DEBUG_LISTEN",
    description: "address of its own for /debug: health, readiness, metrics",
    default: "that of --listen",
  },
  {
    flag: "--drain-delay <ms>",
    env: "PORTCULLIS_DRAIN_DELAY",
    description: "how long to go on serving after SIGTERM, while balancers see that the server is not ready",
    default: "0",
  },
  {
    flag: "--log-level <level>",
    env: "PORTCULLIS_LOG_LEVEL",
    description: "error, warn, info, or debug, which has a line for each call",
    default: "info",
  },
  {
    flag: "--log-format <format>",
    env: "PORTCULLIS_LOG_FORMAT",
    description: "json, or text for people",
    default: "text at a terminal, else json",
  },
  {
    flag: "--dev",
    description: "for development on this machine: the issuer is on, and pages of every origin may call",
  },
];

const storeHeading = "Options that say where the store is:";

/** Whether an option is one of those that every command on a store has. */
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

/** Adds the values of one more flag to those before it. */
const collect =
  (separator: RegExp) =>
  (text: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...text.split(separator).map((part) => part.trim()),
  ];
