#!/usr/bin/env node
import "./check-node.js";

const { existsSync } = await import("node:fs");
const { enableCompileCache } = await import("node:module");
const { fileURLToPath } = await import("node:url");

// A checkout runs its sources as they are; the published package carries only the compiled ones.
const source = new URL("../src/main.ts", import.meta.url);
if (existsSync(source)) {
  // Later starts find the sources stripped of their types and compiled: they take half the time and less memory. Not in the
  // system's temporary folder, where others could leave code for us to run.
  enableCompileCache(fileURLToPath(new URL("../node_modules/.cache/portcullis", import.meta.url)));
  await import(source.href);
} else {
  await import(new URL("../dist/src/main.js", import.meta.url).href);
}
