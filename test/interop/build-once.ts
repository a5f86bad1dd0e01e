import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface BuildOnce {
  readonly directory: string;
  /** Files and folders that the build reads. */
  readonly inputs: readonly string[];
  readonly build: () => Promise<void>;
}

/** Builds into a directory that is kept between runs, unless what is there was built from the same inputs. */
export async function buildOnce({ directory, inputs, build }: BuildOnce): Promise<void> {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const isFolder = statSync(input).isDirectory();
    const files = isFolder ? globSync("**", { cwd: input, withFileTypes: true }).filter((entry) => entry.isFile()) : [];
    const paths = isFolder ? files.map(({ parentPath, name }) => join(parentPath, name)).sort() : [input];
    // Names matter, but not where the folder is.
    for (const path of paths)
      hash
        .update(`${path.slice(input.length)}\0`)
        .update(readFileSync(path))
        .update("\0");
  }
  const digest = hash.digest("hex");
  const stamp = join(directory, "built-from.sha256");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  mkdirSync(directory, { recursive: true });
  rmSync(stamp, { force: true });
  await build();
  writeFileSync(stamp, digest);
}
