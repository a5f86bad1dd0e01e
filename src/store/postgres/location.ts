import type { ClientConfig } from "pg";
import { parse, toClientConfig } from "pg-connection-string";
import { StoreError } from "../errors.ts";

export interface PostgresLocation {
  /** For messages: the hosts and the database, without user and password. */
  readonly name: string;
  /** One for each host of the URL, in its order. */
  readonly hosts: readonly ClientConfig[];
}

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE?PARAMETERS`, as libpq does with several hosts. Whatever
 * `target_session_attrs` says, a server that takes writes is looked for. Throws StoreError `unavailable` for what is none.
 */
export function parsePostgresUrl(url: string): PostgresLocation {
  const [, start, authority = "", end = ""] = /^(postgres(?:ql)?:\/\/(?:[^@/?#]*@)?)([^/?#]*)(.*)$/s.exec(url) ?? [];
  if (start === undefined) throw notUnderstood();
  try {
    const addresses = authority.split(",");
    const hosts = addresses.map((address) => toConfig(start + address + withoutTarget(end)));
    const database = hosts[0]?.database ?? "";
    return { name: `postgres://${authority}/${database}`, hosts };
  } catch (cause) {
    // Its message may hold the URL, and that the password.
    if (cause instanceof StoreError) throw cause;
    throw notUnderstood();
  }
}

function toConfig(url: string): ClientConfig {
  const config = toClientConfig(parse(url));
  if (!config.database) {
    throw new StoreError("unavailable", "The store location names no database: give postgres://USER@HOST/DATABASE.");
  }
  return config;
}

/** The driver would send it on as a setting of the session. */
function withoutTarget(end: string): string {
  const [path = "", query] = end.split("?", 2);
  const parameters = query?.split("&").filter((parameter) => !parameter.startsWith("target_session_attrs=")) ?? [];
  return parameters.length === 0 ? path : `${path}?${parameters.join("&")}`;
}

const notUnderstood = () =>
  new StoreError(
    "unavailable",
    "The store location postgres:… is not understood: give postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded.",
  );
