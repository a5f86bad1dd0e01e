// Writes the comments of our .proto files to gen/comments.ts, by the full name of what they describe: descriptors at run time
// carry none. Part of npm run generate.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { readComments } from "../src/rpc/openapi/comments.ts";

const root = join(import.meta.dirname, "..");
const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
const image = execFileSync(process.execPath, [buf, "build", "proto", "--as-file-descriptor-set", "--output", "-"], {
  cwd: root,
});
const ours = Object.entries(readComments(image)).filter(([name]) => /^(zitadel|portcullis)\./.test(name));
const source = `// Written by npm run generate from the comments of proto/. Do not edit.
export const comments: Readonly<Record<string, string>> = ${JSON.stringify(Object.fromEntries(ours), null, 2)};
`;
writeFileSync(join(root, "gen/comments.ts"), source);
