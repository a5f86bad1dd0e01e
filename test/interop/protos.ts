// Where the clients are built, and the .proto files that they are built of.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must } from "./build.ts";

const root = join(import.meta.dirname, "../..");

/** A folder that is kept between runs. */
export const cache = join(root, "node_modules/.cache/interop");

/** Writes the files anew, and resolves to their folder. */
export async function exportProtos(): Promise<string> {
  const protos = join(cache, "protos");
  rmSync(protos, { recursive: true, force: true });
  mkdirSync(protos, { recursive: true });
  await must(process.execPath, ["proto/export.ts", protos], { cwd: root });
  return protos;
}
