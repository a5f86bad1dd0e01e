// Writes the comments of our .proto files to gen/comments.ts, by the full name of what they describe: descriptors at run time
// carry none. Part of npm run generate.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type AnyDesc, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { getComments } from "@bufbuild/protoplugin";

const root = join(import.meta.dirname, "..");
const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
const image = execFileSync(process.execPath, [buf, "build", "proto", "--as-file-descriptor-set", "--output", "-"], {
  cwd: root,
});
const comments = new Map<string, string>();

for (const file of createFileRegistry(fromBinary(FileDescriptorSetSchema, image)).files) {
  if (!file.name.startsWith("zitadel/")) continue;
  for (const desc of nestedTypes(file)) {
    add(desc);
    if (desc.kind === "message") desc.fields.forEach(add);
    if (desc.kind === "enum") desc.values.forEach(add);
    if (desc.kind === "service") desc.methods.forEach(add);
  }
}

function add(desc: AnyDesc): void {
  if (desc.kind === "file") return;
  const { leading, trailing } = getComments(desc);
  const text = (leading ?? trailing)?.trim().replace(/[ \t]*\n[ \t]*/g, "\n");
  if (text !== undefined && text !== "") comments.set(nameOf(desc), reflow(text));
}

function nameOf(desc: Exclude<AnyDesc, { kind: "file" }>): string {
  switch (desc.kind) {
    case "field":
      return `${desc.parent.typeName}.${desc.name}`;
    case "rpc":
    case "enum_value":
      return `${desc.parent.typeName}.${desc.name}`;
    case "oneof":
      return `${desc.parent.typeName}.${desc.name}`;
    default:
      return desc.typeName;
  }
}

/** Lines of a paragraph become one; an empty line begins the next. */
function reflow(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => paragraph.replaceAll("\n", " "))
    .join("\n\n");
}

const sorted = Object.fromEntries([...comments].sort(([a], [b]) => (a < b ? -1 : 1)));
const source = `// Written by npm run generate from the comments of proto/. Do not edit.
export const comments: Readonly<Record<string, string>> = ${JSON.stringify(sorted, null, 2)};
`;
writeFileSync(join(root, "gen/comments.ts"), source);
