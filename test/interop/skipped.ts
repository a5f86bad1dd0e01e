import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { suites } from "./grpc-suite/suites.ts";

/** The folders that have a client. */
export const clientFolders: readonly string[] = readdirSync(import.meta.dirname).filter((name) =>
  existsSync(join(import.meta.dirname, name, "client.ts")),
);

/** The clients and suites that PORTCULLIS_INTEROP_SKIP names. In CI nothing is left out. */
export const skipped: ReadonlySet<string> = readSkipped([...clientFolders, ...Object.keys(suites)]);

function readSkipped(known: readonly string[]): ReadonlySet<string> {
  const names = (process.env["PORTCULLIS_INTEROP_SKIP"] ?? "").split(",").filter((name) => name !== "");
  if (names.length > 0 && process.env["CI"])
    throw new Error("in CI no client may be skipped: unset PORTCULLIS_INTEROP_SKIP");
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new Error(`PORTCULLIS_INTEROP_SKIP: no client ${unknown}; there are ${known.join(", ")}`);
  return new Set(names);
}
