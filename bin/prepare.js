// Run by `npm ci` in a checkout: starts the server once, so that the first start a person waits for finds the compile cache
// filled. Nothing depends on it, so it never fails.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const data = mkdtempSync(join(tmpdir(), "portcullis-prepare-"));
const program = fileURLToPath(new URL("portcullis.js", import.meta.url));
const server = spawn(process.execPath, [program, "serve", "--data", data, "--listen", "127.0.0.1:0"], {
  stdio: ["ignore", "pipe", "ignore"],
  env: { PATH: process.env.PATH },
});
const giveUp = setTimeout(() => server.kill("SIGKILL"), 20_000);
server.stdout.once("data", () => server.kill("SIGTERM"));
server.once("exit", () => {
  clearTimeout(giveUp);
  rmSync(data, { recursive: true, force: true });
});
