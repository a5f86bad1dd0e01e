// The set-up of the project `package` (vitest.config.ts): makes a release twice, which takes tens of seconds, for all its tests.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import type { TestProject } from "vitest/node";

const root = join(import.meta.dirname, "../..");

declare module "vitest" {
  interface ProvidedContext {
    /** Two folders with what `npm run release` made of the same sources. */
    releases: readonly [string, string];
  }
}

export default function setup({ provide }: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-release-"));
  const releases = [join(folder, "first"), join(folder, "second")] as const;
  for (const release of releases) {
    execFileSync("npm", ["run", "release"], { cwd: root, stdio: "pipe" });
    cpSync(join(root, "release"), release, { recursive: true });
  }
  provide("releases", releases);
  return () => rmSync(folder, { recursive: true, force: true });
}

/** The archives of a release, by the names of the packages. */
export function archivesOf(release: string): { readonly portcullis: string; readonly rpc: string } {
  const archives = readdirSync(release).filter((name) => name.endsWith(".tgz"));
  const [rpc = "", ...others] = archives.filter((name) => name.startsWith("portcullis-rpc-"));
  const [portcullis = ""] = archives.filter((name) => name !== rpc);
  if (archives.length !== 2 || others.length > 0) throw new Error(`a release holds ${archives.join(", ")}`);
  return { portcullis: join(release, portcullis), rpc: join(release, rpc) };
}

/** The paths of all files of a folder, from there. */
export function filesOf(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map(({ parentPath, name }) => relative(directory, join(parentPath, name)));
}

export const bytesOf = (directory: string): number =>
  filesOf(directory).reduce((sum, file) => sum + statSync(join(directory, file)).size, 0);

export function npmInstall(folder: string, ...packages: readonly string[]): void {
  execFileSync("npm", ["install", "--no-audit", "--no-fund", ...packages], { cwd: folder, stdio: "pipe" });
}

/** Checks a file of the folder with the types of the packages there. */
export function typecheck(folder: string, { file, lib }: { readonly file: string; readonly lib: string }): void {
  const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--lib", lib, ...types];
  const tsc = [join(root, "node_modules/typescript/bin/tsc"), ...options, "--allowImportingTsExtensions", file];
  const { stdout } = runQuietly(tsc, folder);
  if (stdout !== "") throw new Error(stdout);
}

function runQuietly(args: readonly string[], cwd: string): { readonly stdout: string } {
  try {
    return { stdout: execFileSync(process.execPath, args, { cwd, encoding: "utf8", stdio: "pipe" }) };
  } catch (error) {
    return error as { readonly stdout: string };
  }
}
