import type { ClientConfig } from "pg";
import { parse, toClientConfig } from "pg-connection-string";
import { StoreError } from "../errors.ts";

export interface PostgresLocation {
  /** For messages: the hosts and the database, without user and password. */
  readonly name: string;
  /** One for each host of the URL, in its order. */
  readonly hosts: readonly ClientConfig[];
  /** From the URL, in milliseconds. */
  readonly connectTimeoutMs?: number;
}

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?PARAMETERS`, with several hosts as libpq does. `target_session_attrs` is
 * ignored: the store looks for a server that takes writes. Throws StoreError `unavailable` for any other text.
 */
export function parsePostgresUrl(url: string): PostgresLocation {
  const { start, addresses, path, parameters } = split(url);
  const connectTimeoutMs = takeConnectTimeout(parameters);
  adaptParameters(parameters);
  const query = parameters.size === 0 ? "" : `?${parameters}`;
  const hosts = addresses.map((address) => toConfig(start + address + path + query));
  // From the parsed parts, never from the URL's text: that would show a password in the wrong place.
  const name = `postgres://${hosts.map(nameOfHost).join(",")}/${hosts[0]?.database}`;
  return { name, hosts, ...(connectTimeoutMs !== undefined && { connectTimeoutMs }) };
}

interface Parts {
  /** Scheme, user and password. */
  readonly start: string;
  readonly addresses: readonly string[];
  readonly path: string;
  readonly parameters: URLSearchParams;
}

/** An `@`, `/`, `?` or `#` in a password that is not encoded would move its rest to another part, so no part may hold one. */
function split(url: string): Parts {
  const [, scheme, credentials = "", addresses, path = "", query = ""] =
    /^(postgres(?:ql)?:\/\/)([^@/?#]*@)?([^@/?#]*)(\/[^@?#]*)?(?:\?([^@#]*))?$/s.exec(url) ?? [];
  if (scheme === undefined || addresses === undefined) throw notUnderstood();
  return { start: scheme + credentials, addresses: addresses.split(","), path, parameters: new URLSearchParams(query) };
}

function toConfig(url: string): ClientConfig {
  const config = parseConfig(url);
  if (config.database) return config;
  throw unavailable("The store location names no database: give postgres://USER@HOST/DATABASE.");
}

function parseConfig(url: string): ClientConfig {
  try {
    return toClientConfig(parse(url));
  } catch (cause) {
    const { syscall, path, code } = cause as NodeJS.ErrnoException;
    if (syscall !== undefined && path !== undefined) {
      throw unavailable(`The file ${path}, which the store location names, cannot be read (${code}).`);
    }
    // Its message may hold the URL, and that the password.
    throw notUnderstood();
  }
}

function nameOfHost({ host = "", port }: ClientConfig): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === undefined ? name : `${name}:${port}`;
}

const sslModes = ["disable", "prefer", "require", "verify-ca", "verify-full", "no-verify"];

/** The driver reads these parameters in other ways, or warns on each start. */
function adaptParameters(parameters: URLSearchParams): void {
  // The driver would send it as a setting of the session.
  parameters.delete("target_session_attrs");
  const mode = parameters.get("sslmode");
  if (mode === null) return;
  if (!sslModes.includes(mode)) {
    throw unavailable(`The store location has an unknown sslmode: give one of ${sslModes.join(", ")}.`);
  }
  // The driver takes these three as verify-full, with a warning of several lines.
  const isTakenForMore = ["prefer", "require", "verify-ca"].includes(mode);
  if (isTakenForMore && parameters.get("uselibpqcompat") !== "true") parameters.set("sslmode", "verify-full");
}

/** As in libpq: whole seconds, and 0 for the default. */
function takeConnectTimeout(parameters: URLSearchParams): number | undefined {
  const given = parameters.get("connect_timeout");
  parameters.delete("connect_timeout");
  if (given === null || given === "0") return undefined;
  if (!/^[1-9][0-9]{0,2}$/.test(given)) {
    throw unavailable(
      "The store location has a connect_timeout that is not understood: give whole seconds, up to 999.",
    );
  }
  return Number(given) * 1000;
}

const unavailable = (sentence: string) => new StoreError("unavailable", sentence);

const notUnderstood = () =>
  unavailable(
    "The store location postgres:… is not understood: give postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded.",
  );
