import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isAdminTokenText } from "./auth/token.ts";

/** What `serve` runs with: every flag and environment variable, checked. */
export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDirectory: string;
  /** `sqlite:PATH` or `memory:`. */
  readonly storeLocation: string;
  /** The contents of the PEM files; absent: plaintext. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly corsOrigins: readonly string[];
  readonly adminToken?: string;
}

/** The same as they were given: by flags, else by the environment, else by default. */
export interface RawConfig {
  readonly listen: string;
  readonly data: string;
  readonly store?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly corsOrigin?: readonly string[];
}

/** A setting that cannot be used. The message is a sentence that names it and says what it should be. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Checks everything and reads the TLS files. Throws a ConfigError at the first setting that cannot be used. */
export function readConfig(raw: RawConfig, environment: NodeJS.ProcessEnv): Config {
  const tls = readTls(raw);
  const adminToken = readAdminToken(environment["PORTCULLIS_ADMIN_TOKEN"]);
  return Object.freeze({
    listen: readListen(raw.listen),
    dataDirectory: raw.data,
    storeLocation: storeLocation(raw),
    ...(tls && { tls }),
    corsOrigins: (raw.corsOrigin ?? []).map(readOrigin),
    ...(adminToken !== undefined && { adminToken }),
  });
}

/** Where the store is: as given, else a file in the data directory. */
export function storeLocation({ data, store }: Pick<RawConfig, "data" | "store">): string {
  if (data === "") throw new ConfigError("--data must name a directory");
  return store ?? `sqlite:${join(data, "portcullis.db")}`;
}

function readListen(text: string): Config["listen"] {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port > 65_535) {
    throw new ConfigError(`--listen must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, and not "${text}"`);
  }
  return { host, port };
}

function readTls({ tlsCert, tlsKey }: RawConfig): Config["tls"] {
  if (tlsCert === undefined && tlsKey === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new ConfigError("--tls-cert and --tls-key go together: give both or neither");
  }
  return { cert: readFile("--tls-cert", tlsCert), key: readFile("--tls-key", tlsKey) };
}

function readFile(flag: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new ConfigError(`the file of ${flag} cannot be read: ${path} (${reason})`, { cause });
  }
}

function readOrigin(text: string): string {
  if (text === "*" || (URL.canParse(text) && new URL(text).origin === text)) return text;
  throw new ConfigError(`--cors-origin must be an origin, such as https://example.com, or *, and not "${text}"`);
}

function readAdminToken(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!isAdminTokenText(text)) {
    throw new ConfigError(
      "PORTCULLIS_ADMIN_TOKEN must have at least 32 characters, all of them printable ASCII without space or comma",
    );
  }
  return text;
}
