// Holds the rule of who may import whom in src/ (docs/architecture.md), and that no files import each other in a circle.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

const root = join(import.meta.dirname, "../..");

/** What each part may import besides itself: parts of src/, folders of gen/, and packages (`node:` stands for Node's own). */
const allowed: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  "wire-names.ts": [],
  store: ["domain", "node:"],
  "store/shared": ["store", "domain", "node:"],
  "store/transfer": ["store", "store/shared", "domain", "node:"],
  "store/engines.ts": ["store", "store/sqlite", "store/postgres"],
  "store/open.ts": ["domain", "store", "store/engines.ts"],
  "store/postgres": [
    "store",
    "store/postgres/settings.ts",
    "store/shared",
    "store/transfer",
    "domain",
    "node:",
    "pg",
    "pg-connection-string",
  ],
  "store/postgres/settings.ts": [],
  "store/sqlite": ["store", "store/shared", "store/transfer", "domain", "process/durable-directory.ts", "node:"],
  application: ["domain", "store", "lru-cache"],
  auth: [
    "domain",
    "store",
    "wire-names.ts",
    "@portcullis/rpc",
    "process/durable-directory.ts",
    "lru-cache",
    "gen",
    "node:",
    "@connectrpc/connect",
    "@bufbuild/protobuf",
  ],
  "auth/identify.ts": ["auth", "auth/outside", "domain", "store"],
  "auth/outside": [
    "auth",
    "domain",
    "store",
    "wire-names.ts",
    "process/limited-log.ts",
    "node:",
    "jose",
    "oauth4webapi",
    "lru-cache",
  ],
  "auth/issuer": [
    "domain",
    "store",
    "application",
    "auth",
    "wire-names.ts",
    "process/limited-log.ts",
    "@portcullis/rpc",
    "telemetry/client-address.ts",
    "node:",
    "oidc-provider",
    "jose",
    "lru-cache",
  ],
  "services/values.ts": ["domain", "gen", "@bufbuild/protobuf"],
  "services/zitadel": [
    "services/values.ts",
    "domain",
    "application",
    "auth",
    "wire-names.ts",
    "gen",
    "@connectrpc/connect",
    "@bufbuild/protobuf",
  ],
  "services/portcullis": [
    "services/values.ts",
    "domain",
    "application",
    "auth",
    "wire-names.ts",
    "gen",
    "node:",
    "store",
    "@connectrpc/connect",
    "@bufbuild/protobuf",
  ],
  interceptors: [
    "domain",
    "store",
    "auth",
    "@portcullis/rpc",
    "gen",
    "node:",
    "@connectrpc/connect",
    "@bufbuild/protobuf",
  ],
  web: [
    "auth/issuer",
    "wire-names.ts",
    "process/readiness.ts",
    "process/version.ts",
    "@portcullis/rpc",
    "telemetry",
    "gen",
    "@bufbuild/protobuf",
  ],
  "rpc.ts": ["@portcullis/rpc"],
  rpc: [
    "rpc/call",
    "rpc/gen",
    "rpc/http",
    "rpc/listener",
    "node:",
    "@connectrpc/connect",
    "@connectrpc/connect-node",
    "@bufbuild/protobuf",
  ],
  "rpc/listener": ["node:"],
  "rpc/http": ["rpc/listener", "node:", "@connectrpc/connect"],
  "rpc/gen": ["@bufbuild/protobuf"],
  "rpc/call": ["rpc/http", "rpc/listener", "rpc/gen", "node:", "@connectrpc/connect", "@bufbuild/protobuf"],
  cli: [
    "cli/policy",
    "config.ts",
    "application",
    "auth",
    "auth/issuer",
    "domain",
    "store",
    "store/engines.ts",
    "store/open.ts",
    "store/postgres/settings.ts",
    "store/transfer",
    "server.ts",
    "web",
    "@portcullis/rpc",
    "process",
    "telemetry",
    "node:",
    "commander",
  ],
  "cli/policy": [
    "cli",
    "config.ts",
    "domain",
    "gen",
    "node:",
    "commander",
    "@bufbuild/protobuf",
    "@connectrpc/connect",
    "@connectrpc/connect-node",
  ],
  telemetry: [
    "interceptors",
    "telemetry/client-address.ts",
    "process",
    "process/limited-log.ts",
    "process/readiness.ts",
    "@portcullis/rpc",
    "store",
    "node:",
    "prom-client",
    "@opentelemetry/api",
    "@opentelemetry/sdk-node",
    "@connectrpc/connect",
  ],
  "telemetry/client-address.ts": ["node:"],
  process: ["process/limited-log.ts", "@portcullis/rpc", "node:", "pino", "pino-pretty"],
  "process/durable-directory.ts": ["node:"],
  "process/limited-log.ts": ["process"],
  "process/readiness.ts": [],
  "process/version.ts": ["node:"],
  "config.ts": [
    "domain",
    "process",
    "auth",
    "auth/outside",
    "wire-names.ts",
    "store/postgres/settings.ts",
    "telemetry/client-address.ts",
    "node:",
  ],
  "server.ts": [
    "auth",
    "auth/identify.ts",
    "auth/outside",
    "auth/issuer",
    "application",
    "interceptors",
    "process",
    "@portcullis/rpc",
    "services",
    "store",
    "telemetry",
    "web",
    "gen",
    "@bufbuild/protobuf",
  ],
  "index.ts": ["telemetry", "auth", "auth/issuer", "application", "process", "server.ts", "store/open.ts", "store"],
  "main.ts": ["process/version.ts", "cli", "cli/policy", "config.ts", "domain", "store", "node:", "commander"],
};

const partNames = Object.keys(allowed).sort((a, b) => b.length - a.length);
const partOf = (path: string) => partNames.find((part) => path === part || path.startsWith(`${part}/`));

const problems: string[] = [];
const graph = new Map<string, string[]>();
const files = globSync("src/**/*.ts", { cwd: root, exclude: ["**/*.d.ts"] }).sort();

for (const file of files) {
  const inSource = relative("src", file);
  const part = partOf(inSource);
  if (part === undefined) {
    problems.push(`${file} belongs to no part: add it to test/lint/imports.ts`);
    continue;
  }
  const targets: string[] = [];
  graph.set(file, targets);
  for (const specifier of specifiersOf(readFileSync(join(root, file), "utf8"))) {
    const target = targetOf(file, specifier);
    if (specifier.startsWith(".")) {
      const path = normalize(join(dirname(file), specifier));
      if (!existsSync(join(root, path))) problems.push(`${file} imports ${specifier}, which does not exist`);
      targets.push(path);
    }
    if (target !== part && !allowed[part]?.some((name) => target === name || target.startsWith(`${name}/`))) {
      problems.push(`${file} may not import ${specifier}`);
    }
  }
}
problems.push(...cycles());

if (files.length === 0) problems.push("no file was looked at");
// A pattern that stopped matching would let everything pass.
const planted =
  'import { a } from "./a.ts";\nimport "./b.ts";\nconst c = await import("./c.ts");\nexport * from "./d.ts";';
if (specifiersOf(planted).join() !== "./a.ts,./b.ts,./c.ts,./d.ts") problems.push("imports are not recognised");
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`imports: ${files.length} files, ${problems.length} problems\n`);
process.exitCode = problems.length === 0 ? 0 : 1;

/** What a source imports: by declarations, for side effects, and dynamically. */
function specifiersOf(source: string): string[] {
  const pattern = /^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;
  return [...source.matchAll(pattern)].flatMap(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? []);
}

function targetOf(file: string, specifier: string): string {
  if (specifier.startsWith("node:")) return "node:";
  if (!specifier.startsWith(".")) return specifier;
  const path = normalize(join(dirname(file), specifier));
  return path.startsWith("src/") ? (partOf(relative("src", path)) ?? path) : path;
}

function cycles(): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file))
      found.push(`a circle of imports: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
    if (done.has(file) || path.includes(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}
