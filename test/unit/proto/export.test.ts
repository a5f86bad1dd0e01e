import { spawnSync } from "node:child_process";
import { copyFileSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, test } from "vitest";

const script = join(import.meta.dirname, "../../../proto/export.ts");
let scratch: string;
let folder: string;
let files: string[];

function run(command: string, args: string[], cwd?: string) {
  return spawnSync(command, args, { encoding: "utf8", timeout: 60_000, ...(cwd === undefined ? {} : { cwd }) });
}

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "portcullis-export-"));
  folder = join(scratch, "new", "folder");
  const { status, stdout, stderr } = run(process.execPath, [script, folder]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toBe(`Wrote the .proto files and the descriptor set portcullis.binpb to ${folder}\n`);
  files = globSync("**/*.proto", { cwd: folder }).sort();
});

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

test("the descriptor set holds the services, everything they need and the comments", () => {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(join(folder, "portcullis.binpb")));
  // Building the registry fails when an import is not in the set.
  const registry = createFileRegistry(set);
  expect(registry.getService("zitadel.management.v1.ManagementService")?.methods).toHaveLength(15);
  expect(registry.getService("zitadel.admin.v1.AdminService")?.methods).toHaveLength(12);
  expect(registry.getService("zitadel.auth.v1.AuthService")?.methods).toHaveLength(1);
  for (const file of set.file) {
    const comments = file.sourceCodeInfo?.location.filter((location) => location.leadingComments !== "") ?? [];
    expect(comments.length, `comments of ${file.name}`).toBeGreaterThan(0);
  }
});

test("the folder holds every file that its .proto files import", () => {
  expect(files).toContain("zitadel/management.proto");
  expect(files).toContain("zitadel/admin.proto");
  expect(files).toContain("portcullis/rpc/v1/rest.proto");
  // Those come with every gRPC library.
  expect(files.filter((file) => file.startsWith("grpc/"))).toEqual([]);
  for (const file of files) {
    const imports = readFileSync(join(folder, file), "utf8").matchAll(/^import (?:public |weak )?"([^"]+)";/gm);
    for (const [, path = ""] of imports) {
      // Every protoc carries the well-known types.
      if (!path.startsWith("google/protobuf/")) expect(files, `imported by ${file}`).toContain(path);
    }
  }
});

test("plain protoc compiles the folder", ({ skip }) => {
  const { error } = run("protoc", ["--version"]);
  if (error !== undefined && !process.env["CI"]) {
    process.stdout.write("Skipped: protoc is not on PATH (Debian: apt-get install protobuf-compiler).\n");
    skip("protoc is not on PATH");
  }
  expect(error, "CI has protoc").toBeUndefined();
  const { status, stderr } = run("protoc", ["-I.", "--descriptor_set_out=protoc.binpb", ...files], folder);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("a folder that cannot be written is an error in one sentence", () => {
  const occupied = join(scratch, "a-file");
  writeFileSync(occupied, "");
  const { status, stderr } = run(process.execPath, [script, occupied]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^proto:export: the folder .*a-file cannot be written: .*\n$/);
});

test("a missing buf is an error that says what to do", () => {
  const elsewhere = join(scratch, "without-node-modules", "proto");
  mkdirSync(elsewhere, { recursive: true });
  copyFileSync(script, join(elsewhere, "export.ts"));
  const { status, stderr } = run(process.execPath, [join(elsewhere, "export.ts"), join(scratch, "nothing")]);
  expect(status).toBe(1);
  expect(stderr).toContain("proto:export: buf is not installed; run 'npm ci' in the project first.\n");
});
