// Part of `npm run build`: makes dist/rpc, which holds the compiled src/rpc, the package that is published as @portcullis/rpc.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const source = join(root, "src/rpc");
const target = join(root, "dist/rpc");

// In a checkout the name leads to the sources. They are private, so that nobody publishes them by mistake.
const { private: _, ...manifest } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
const exports = {
  ".": { types: "./index.d.ts", default: "./index.js" },
  "./package.json": "./package.json",
  "./proto/*": "./proto/*",
};
writeFileSync(join(target, "package.json"), `${JSON.stringify({ ...manifest, exports }, null, 2)}\n`);

cpSync(join(source, "README.md"), join(target, "README.md"));
cpSync(join(root, "LICENSE"), join(target, "LICENSE"));
cpSync(join(source, "proto"), join(target, "proto"), { recursive: true });
// What a service's own protos import. buf and protoc carry google/protobuf themselves.
const google = ["api/annotations", "api/field_behavior", "api/http", "api/httpbody", "rpc/error_details", "rpc/status"];
for (const name of google) {
  const file = `google/${name}.proto`;
  cpSync(join(root, "node_modules/google-proto-files", file), join(target, "proto", file));
}
