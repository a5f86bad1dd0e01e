import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import chromiumPackage from "@sparticuz/chromium";
import { type Browser, chromium } from "playwright-core";

/** A headless Chromium, or the reason why there is none here. */
export async function launchBrowser(): Promise<{ browser?: Browser; missing?: string }> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return { missing: `@sparticuz/chromium has no browser for ${process.platform} on ${process.arch}` };
  }
  try {
    const executablePath = await unpackChromium();
    // Not chromiumPackage.args: they have --disable-web-security, with which no browser asks for CORS at all.
    const args = ["--no-sandbox", "--disable-background-networking"];
    return { browser: await chromium.launch({ executablePath, args, headless: true }) };
  } catch (reason) {
    return { missing: `Chromium does not start: ${String(reason).slice(0, 1_000)}` };
  }
}

/**
 * Unpacks the browser (2 s, 200 MB) into a folder of its version, once. The package itself unpacks in place and takes what
 * is there for complete, so a second process could start half a browser; here a whole folder is renamed.
 */
async function unpackChromium(): Promise<string> {
  const code = createRequire(import.meta.url).resolve("@sparticuz/chromium");
  const { version } = JSON.parse(readFileSync(join(code, "../../package.json"), "utf8")) as { version: string };
  const folder = join(tmpdir(), `portcullis-chromium-${version}`);
  const executablePath = join(folder, "chromium");
  if (existsSync(executablePath)) return executablePath;
  const unpacked = mkdtempSync(`${folder}-`);
  const before = process.env["TMPDIR"];
  try {
    process.env["TMPDIR"] = unpacked; // the only way to say where
    await chromiumPackage.executablePath();
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
  try {
    renameSync(unpacked, folder);
  } catch (reason) {
    rmSync(unpacked, { recursive: true, force: true });
    if (!existsSync(executablePath)) throw reason; // else another process was first
  }
  return executablePath;
}
