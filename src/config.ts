import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { OutsideIssuerSettings } from "./auth/outside/settings.ts";
import { isAdminTokenText } from "./auth/token.ts";
import { isLoopback } from "./domain/loopback.ts";
import type { LogSettings } from "./process/log.ts";
import type { TlsFiles } from "./process/watch-tls.ts";
import { type PostgresSettings, postgresSettings } from "./store/postgres/settings.ts";
import { parseTrustedProxy } from "./telemetry/client-address.ts";
import { apiAudience, rolesClaim } from "./wire-names.ts";

/** Every setting of `serve`, validated. */
export interface Config {
  readonly listen: { readonly host: string; readonly port: number; readonly reusePort?: boolean };
  readonly dataDirectory: string;
  /** `sqlite:PATH`, `postgres://…` or `memory:`. */
  readonly storeLocation: string;
  /** Absent settings have their defaults. */
  readonly postgres: Partial<PostgresSettings>;
  /** Absent: plaintext. */
  readonly tls?: TlsConfig;
  readonly corsOrigins: readonly string[];
  /** Request headers that pages may send beside those of the API. */
  readonly corsHeaders: readonly string[];
  readonly adminToken?: string;
  /** The built-in issuer; absent: off. `url` is its identifier, an origin. Default: the address that the server listens on. */
  readonly issuer?: { readonly url?: string };
  readonly oidcIssuers: readonly OutsideIssuerSettings[];
  readonly trustedProxies: readonly string[];
  /** The most unary calls of one caller in flight. Absent: the server's default. */
  readonly callsPerCaller?: number;
  /** The most watches of one caller. Absent: the server's default. */
  readonly watchesPerCaller?: number;
  /** Absent: `listen` serves `/debug` too. */
  readonly debugListen?: { readonly host: string; readonly port: number };
  readonly drainDelayMs: number;
  readonly log: LogSettings;
}

const logLevels: readonly LogSettings["level"][] = ["error", "warn", "info", "debug"];
const logFormats: readonly LogSettings["format"][] = ["json", "text"];

/** The contents of PEM files, and their paths. */
export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  /** Authorities that sign client certificates; absent: clients need no certificate. */
  readonly clientCa?: string;
  readonly files: TlsFiles;
}

/** The settings of the store as commander read them: from flags, else from the environment, else defaults. */
export interface StoreConfig {
  readonly data: string;
  readonly store?: string;
  readonly storeFile?: string;
  readonly postgresPoolSize?: string;
  readonly postgresStatementTimeout?: string;
  readonly postgresConnectTimeout?: string;
}

/** All settings as commander read them. */
export interface RawConfig extends StoreConfig {
  readonly listen: string;
  /** `true` for the flag without a value. */
  readonly reusePort?: string | true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly callsPerCaller?: string;
  readonly watchesPerCaller?: string;
  readonly debugListen?: string;
  readonly drainDelay?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
  readonly corsOrigin?: readonly string[];
  readonly corsHeader?: readonly string[];
  /** `true` for the flag without a value. */
  readonly issuer?: string | true;
  /** Each as `URL[,NAME=VALUE…]`. */
  readonly oidcIssuer?: readonly string[];
  readonly trustedProxy?: readonly string[];
  readonly dev?: boolean;
}

/** An invalid setting, or another mistake of the operator. The message is a sentence that says how to correct it. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Validates all settings and reads the files that they name. Throws a ConfigError at the first invalid setting. */
export function readConfig(raw: RawConfig, environment: NodeJS.ProcessEnv): Config {
  const tls = readTls(raw);
  const adminToken = readAdminToken(environment);
  const listen = readAddress("--listen", raw.listen);
  const location = storeLocation(raw);
  const reusePort = readReusePort(raw, { port: listen.port, location });
  if (raw.dev && !isLoopback(listen.host)) {
    throw new ConfigError("--dev works only on a loopback address: listen on 127.0.0.1, [::1] or localhost");
  }
  const debugListen = raw.debugListen === undefined ? undefined : readAddress("--debug-listen", raw.debugListen);
  if (debugListen !== undefined && listen.port !== 0 && raw.debugListen === raw.listen) {
    throw new ConfigError("--debug-listen must differ from --listen; without it, --listen serves /debug too");
  }
  const issuer = readIssuer(raw, { host: listen.host, isEncrypted: tls !== undefined });
  return Object.freeze({
    listen: { ...listen, ...(reusePort && { reusePort }) },
    dataDirectory: raw.data,
    storeLocation: location,
    postgres: readPostgresSettings(raw),
    ...(tls && { tls }),
    ...(raw.callsPerCaller !== undefined && {
      callsPerCaller: readInteger(raw.callsPerCaller, { flag: "--calls-per-caller", least: 1, most: 100_000 }),
    }),
    ...(raw.watchesPerCaller !== undefined && {
      watchesPerCaller: readInteger(raw.watchesPerCaller, { flag: "--watches-per-caller", least: 1, most: 100_000 }),
    }),
    ...(debugListen && { debugListen }),
    drainDelayMs: readInteger(raw.drainDelay ?? "0", {
      flag: "--drain-delay",
      least: 0,
      most: 600_000,
      unit: "milliseconds",
    }),
    log: {
      level: readChoice("--log-level", raw.logLevel ?? "info", logLevels),
      format: readChoice("--log-format", raw.logFormat ?? (process.stderr.isTTY ? "text" : "json"), logFormats),
    },
    corsOrigins: (raw.corsOrigin ?? (raw.dev ? ["*"] : [])).map(readOrigin),
    corsHeaders: readCorsHeaders(raw),
    ...(issuer && { issuer }),
    oidcIssuers: readOidcIssuers(raw.oidcIssuer ?? []),
    trustedProxies: (raw.trustedProxy ?? []).map(readTrustedProxy),
    ...(adminToken !== undefined && { adminToken }),
  });
}

/** The location of the store: given directly or in a file. Default: a SQLite file in the data directory. */
export function storeLocation({ data, store, storeFile }: StoreConfig): string {
  if (data === "") throw new ConfigError("--data must name a directory");
  if (storeFile !== undefined) {
    if (store !== undefined) throw new ConfigError("give --store or --store-file, not both");
    return readSecretFile("--store-file", storeFile);
  }
  return store ?? `sqlite:${join(data, "portcullis.db")}`;
}

/** The settings of PostgreSQL that were given. Throws a ConfigError for a number out of its range. */
export function readPostgresSettings(raw: StoreConfig): Partial<PostgresSettings> {
  const given = {
    poolSize: { flag: "--postgres-pool-size", text: raw.postgresPoolSize },
    statementTimeoutMs: { flag: "--postgres-statement-timeout", text: raw.postgresStatementTimeout },
    connectTimeoutMs: { flag: "--postgres-connect-timeout", text: raw.postgresConnectTimeout },
  };
  const read: { -readonly [Name in keyof PostgresSettings]?: number } = {};
  for (const name of Object.keys(given) as (keyof PostgresSettings)[]) {
    const { flag, text } = given[name];
    if (text !== undefined) read[name] = readInteger(text, { flag, ...postgresSettings[name] });
  }
  return read;
}

function readInteger(
  text: string,
  options: { readonly flag: string; readonly least: number; readonly most: number; readonly unit?: string },
): number {
  const { flag, least, most, unit } = options;
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  const kind = unit === undefined ? "a whole number" : `a whole number of ${unit}`;
  throw new ConfigError(`${flag} must be ${kind} from ${least} to ${most}, not "${text}"`);
}

function readChoice<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  throw new ConfigError(`${flag} must be ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}, not "${text}"`);
}

function readAddress(flag: string, text: string): Config["listen"] {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new ConfigError(`${flag} must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, not "${text}"`);
  }
  return { host, port };
}

function readReusePort(
  { reusePort = "false" }: RawConfig,
  { port, location }: { readonly port: number; readonly location: string },
): boolean {
  if (readChoice("--reuse-port", String(reusePort), ["true", "false"]) === "false") return false;
  if (port === 0) {
    throw new ConfigError("--reuse-port needs a port in --listen: with port 0, each process gets another one");
  }
  if (location === "memory:") {
    throw new ConfigError("--reuse-port needs a store that processes share: memory: belongs to one process");
  }
  return true;
}

function readTls({ tlsCert, tlsKey, tlsClientCa }: RawConfig): TlsConfig | undefined {
  if (tlsCert === undefined && tlsKey === undefined) {
    if (tlsClientCa === undefined) return undefined;
    throw new ConfigError("--tls-client-ca needs --tls-cert and --tls-key: without TLS, clients send no certificate");
  }
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new ConfigError("--tls-cert and --tls-key go together: give both or neither");
  }
  return readTlsFiles({ cert: tlsCert, key: tlsKey, ...(tlsClientCa !== undefined && { clientCa: tlsClientCa }) });
}

function readTlsFiles(files: TlsFiles): TlsConfig {
  const cert = readFile("--tls-cert", files.cert);
  const key = readFile("--tls-key", files.key, { isSecret: true });
  const clientCa = files.clientCa === undefined ? undefined : readFile("--tls-client-ca", files.clientCa);
  const aCertificate = "no certificate in PEM";
  const certificate = parseFile(
    "--tls-cert",
    { path: files.cert, lacks: aCertificate },
    () => new X509Certificate(cert),
  );
  const aKey = "no private key in PEM, or one with a passphrase: remove the passphrase";
  const privateKey = parseFile("--tls-key", { path: files.key, lacks: aKey }, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new ConfigError(`the key in ${files.key} does not belong to the certificate in ${files.cert}`);
  }
  if (clientCa === undefined) return { cert, key, files };
  parseFile("--tls-client-ca", { path: files.clientCa, lacks: aCertificate }, () => new X509Certificate(clientCa));
  return { cert, key, clientCa, files };
}

function parseFile<T>(
  flag: string,
  { path, lacks }: { readonly path: string | undefined; readonly lacks: string },
  parse: () => T,
): T {
  try {
    return parse();
  } catch (cause) {
    throw new ConfigError(`the file of ${flag} contains ${lacks}: ${path}`, { cause });
  }
}

function readFile(flag: string, path: string, { isSecret = false }: { readonly isSecret?: boolean } = {}): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    // The operator may have given the secret itself in place of its file.
    const where = isSecret ? "" : `: ${path}`;
    throw new ConfigError(`the file of ${flag} cannot be read${where} (${reason})`, { cause });
  }
}

/** The text of a URL without its user and password. */
const withoutUser = (text: string): string => text.replace(/\/\/.*@/s, "//(hidden)@");

function readOrigin(text: string): string {
  if (text === "*" || (URL.canParse(text) && new URL(text).origin === text)) return text;
  throw new ConfigError(
    `--cors-origin must be an origin, such as https://example.com, or *, not "${withoutUser(text)}"`,
  );
}

function readCorsHeaders({ corsHeader = [], corsOrigin, dev }: RawConfig): readonly string[] {
  if (corsHeader.length > 0 && corsOrigin === undefined && !dev) {
    throw new ConfigError("--cors-header needs --cors-origin: without it, pages of other origins may not call");
  }
  const wrong = corsHeader.find((name) => !/^[\w.-]+\*?$/.test(name));
  if (wrong === undefined) return corsHeader;
  throw new ConfigError(
    `--cors-header must be a header, such as x-client-version, or a prefix and *, such as x-client-*, not "${wrong}"`,
  );
}

/** The admin token has no flag, so that it never appears in a list of processes. */
export const adminTokenVariables = {
  direct: "PORTCULLIS_ADMIN_TOKEN",
  file: "PORTCULLIS_ADMIN_TOKEN_FILE",
} as const;

function readAdminToken(environment: NodeJS.ProcessEnv): string | undefined {
  const { direct, file } = adminTokenVariables;
  const text = environment[direct];
  const path = environment[file];
  if (text !== undefined && path !== undefined) throw new ConfigError(`set ${direct} or ${file}, not both`);
  const token = path === undefined ? text : readSecretFile(file, path);
  if (token !== undefined && !isAdminTokenText(token)) {
    throw new ConfigError(
      `${path === undefined ? direct : file} must have at least 32 characters, all of them printable ASCII without space or comma`,
    );
  }
  return token;
}

/** The text of a file without the line break at its end, which editors and `echo` add. */
export const readSecretFile = (setting: string, path: string): string =>
  readFile(setting, path, { isSecret: true }).replace(/\r?\n$/, "");

function readIssuer(
  { issuer, dev }: RawConfig,
  { host, isEncrypted }: { readonly host: string; readonly isEncrypted: boolean },
): Config["issuer"] {
  if (issuer === undefined) return dev ? {} : undefined;
  if (issuer === true || issuer === "true") {
    if (host === "0.0.0.0" || host === "::") {
      throw new ConfigError("--issuer needs a URL if the server listens on every address: --issuer https://HOST");
    }
    if (!isEncrypted && !isLoopback(host)) {
      throw new ConfigError(
        "--issuer needs a URL if the server listens without TLS on an address that other machines reach: give the URL of its proxy, --issuer https://HOST",
      );
    }
    return {};
  }
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  if (url?.origin !== issuer || !isSafe(url)) {
    throw new ConfigError(
      `--issuer must be an origin that clients reach, such as https://login.example (http:// only on a loopback address), not "${withoutUser(issuer)}"`,
    );
  }
  return { url: issuer };
}

/** Whether tokens and keys do not cross a network in plaintext. */
const isSafe = ({ protocol, hostname }: URL): boolean =>
  protocol === "https:" || (protocol === "http:" && isLoopback(hostname));

function readOidcIssuers(texts: readonly string[]): readonly OutsideIssuerSettings[] {
  const all = texts.map(readOidcIssuer);
  const twice = all.find(({ url }, index) => all.findIndex((other) => other.url === url) < index);
  if (twice !== undefined) throw new ConfigError(`--oidc-issuer names ${twice.url} twice`);
  return all;
}

const issuerSettings = ["audience", "role-claim", "instance-roles", "client-id", "client-secret-file"] as const;
type IssuerSetting = (typeof issuerSettings)[number];

function readOidcIssuer(text: string): OutsideIssuerSettings {
  const [url = "", ...parts] = text.split(",");
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !isSafe(parsed) || /[?#@]/.test(url)) {
    // A text that is no URL may be a secret in the wrong place.
    const given = parsed === undefined ? "" : `, not "${withoutUser(url).replace(/[?#].*$/s, "…")}"`;
    throw new ConfigError(
      `--oidc-issuer must begin with the issuer's https:// URL (http:// only on a loopback address)${given}`,
    );
  }
  const given = new Map<IssuerSetting, string | undefined>();
  for (const [index, part] of parts.entries()) {
    const [, name = "", value] = /^([a-z-]+)(?:=(.+))?$/.exec(part) ?? [];
    if (name === "client-secret") {
      throw new ConfigError("--oidc-issuer takes no secret: write it to a file and give client-secret-file=FILE");
    }
    const setting = issuerSettings.find((known) => known === name);
    if (setting === undefined || given.has(setting) || (value === undefined) !== (setting === "instance-roles")) {
      // The message does not repeat an unknown text: it may be a secret, or a part of one with a comma.
      const wrong = setting ?? `part ${index + 1}`;
      throw new ConfigError(
        `after its URL, --oidc-issuer takes audience=TEXT, role-claim=NAME, instance-roles, client-id=ID and client-secret-file=FILE, each once and separated by commas: check ${wrong}`,
      );
    }
    given.set(setting, value);
  }
  const clientId = given.get("client-id");
  const secretFile = given.get("client-secret-file");
  if ((clientId === undefined) !== (secretFile === undefined)) {
    throw new ConfigError("client-id and client-secret-file of --oidc-issuer go together: give both or neither");
  }
  const clientSecret = secretFile === undefined ? undefined : readSecretFile("client-secret-file", secretFile);
  if (clientSecret === "") throw new ConfigError(`the file of client-secret-file is empty: ${secretFile}`);
  return {
    url,
    audience: given.get("audience") ?? apiAudience,
    roleClaim: given.get("role-claim") ?? rolesClaim,
    instanceRoles: given.has("instance-roles"),
    ...(clientId !== undefined &&
      clientSecret !== undefined && {
        introspection: { clientId, clientSecret },
      }),
  };
}

function readTrustedProxy(text: string): string {
  try {
    parseTrustedProxy(text);
    return text;
  } catch (cause) {
    throw new ConfigError(`--trusted-proxy: ${(cause as Error).message}`, { cause });
  }
}
