#!/usr/bin/env node
import "./check-node.js";

// A checkout runs its sources as they are; the published package carries only the compiled ones.
const { existsSync } = await import("node:fs");
const { enableCompileCache } = await import("node:module");
const source = new URL("../src/main.ts", import.meta.url);
// Later starts find the code compiled, and sources stripped of their types: a start takes about half the time.
enableCompileCache();
await import(existsSync(source) ? source.href : new URL("../dist/src/main.js", import.meta.url).href);
