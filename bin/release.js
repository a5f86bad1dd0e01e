// Run by `npm run release`, after the build: writes the archives of both packages and the bill of materials into release/.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const release = join(root, "release");
const npm = (cwd, ...args) =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });

rmSync(release, { recursive: true, force: true });
mkdirSync(release);
process.stdout.write(
  npm(root, "pack", "--silent", "--ignore-scripts", "--pack-destination", release, "./dist/rpc", "."),
);

// `npm sbom --omit=dev` leaves out every package that a development dependency needs too (npm 11), so it is run where there are none.
const folder = mkdtempSync(join(tmpdir(), "portcullis-sbom-"));
try {
  const { devDependencies: _, ...manifest } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  mkdirSync(join(folder, "portcullis/src/rpc"), { recursive: true });
  const copy = join(folder, "portcullis");
  writeFileSync(join(copy, "package.json"), JSON.stringify(manifest));
  for (const file of ["package-lock.json", ".npmrc", "src/rpc/package.json"])
    cpSync(join(root, file), join(copy, file));
  npm(copy, "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund");
  writeFileSync(
    join(release, "portcullis.cdx.json"),
    npm(copy, "sbom", "--package-lock-only", "--sbom-format=cyclonedx"),
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write("portcullis.cdx.json\n");
