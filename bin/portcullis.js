#!/usr/bin/env node
import "./check-node.js";

// A checkout runs its sources as they are; the published package carries only the compiled ones.
const { existsSync } = await import("node:fs");
const source = new URL("../src/main.ts", import.meta.url);
await import(existsSync(source) ? source.href : new URL("../dist/src/main.js", import.meta.url).href);
