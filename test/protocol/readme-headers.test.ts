// The example of `portcullis.rpc.v1.rest_headers` in the README of @portcullis/rpc, as written.
import { execFile, execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { serve } from "@portcullis/rpc";
import { expect, it } from "vitest";
import { isLeftOut } from "../interop/left-out.ts";
import { missingProgram } from "../interop/run.ts";

const root = join(import.meta.dirname, "../..");
const section =
  readFileSync(join(root, "src/rpc/README.md"), "utf8").split("\n## Etags, and the ids of events\n")[1] ?? "";
const blockOf = (language: string) => section.split(`\`\`\`${language}\n`)[1]?.split("```")[0] ?? "";

/** The service that the README describes, compiled by buf beside the protos that the package holds. */
function compile(): DescService {
  const folder = mkdtempSync(join(tmpdir(), "rpc-readme-"));
  try {
    writeFileSync(join(folder, "notes.proto"), blockOf("proto"));
    const held = [
      ["src/rpc/proto", "portcullis/rpc/v1/rest.proto"],
      ["node_modules/google-proto-files", "google/api/annotations.proto"],
      ["node_modules/google-proto-files", "google/api/http.proto"],
    ] as const;
    for (const [from, file] of held) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      cpSync(join(root, from, file), join(folder, file));
    }
    const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
    const set = execFileSync(process.execPath, [buf, "build", "--as-file-descriptor-set", "-o", "-"], { cwd: folder });
    const service = createFileRegistry(fromBinary(FileDescriptorSetSchema, set)).getService("notes.v1.NoteService");
    if (service === undefined) throw new Error("the README has no NoteService");
    return service;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Note {
  readonly name: string;
  readonly text: string;
  readonly etag: string;
}

/** One note, and every state of it. */
function createNotes() {
  const states: Note[] = [{ name: "notes/1", text: "old", etag: '"1"' }];
  return {
    getNote: () => states.at(-1),
    updateNote({ note }: { readonly note: Note }) {
      if (note.etag !== "" && note.etag !== states.at(-1)?.etag) throw new ConnectError("it has changed", Code.Aborted);
      states.push({ ...note, etag: `"${states.length + 1}"` });
      return states.at(-1);
    },
    async *watchNotes({ resumeToken }: { readonly resumeToken: string }) {
      for (const [index, note] of states.entries()) {
        if (index >= Number(resumeToken)) yield { note, resumeToken: String(index + 1) };
      }
    },
  };
}

it.skipIf(isLeftOut(missingProgram("curl")))("the calls of the README answer as it says", async () => {
  const service = compile();
  const server = await serve({
    services: (router) => router.service(service, createNotes() as unknown as Partial<ServiceImpl<DescService>>),
  });
  try {
    const script = blockOf("sh").replaceAll("http://127.0.0.1:8081", server.url).replaceAll("curl ", "curl -sS ");
    const { stdout } = await promisify(execFile)("bash", ["-ec", script], { timeout: 20_000 });
    const found = (pattern: RegExp) => [...stdout.matchAll(pattern)].map(([, value]) => value);
    expect(found(/HTTP\/1\.1 (\d+)/g)).toEqual(["200", "304", "200", "409"]);
    expect(found(/^etag: (.*)\r$/gm)).toEqual(['"1"', '"1"', '"2"']);
    expect(stdout).toContain(
      'id: 2\ndata: {"note":{"name":"notes/1","text":"new","etag":"\\"2\\""},"resumeToken":"2"}\n',
    );
  } finally {
    await server.close({ graceMs: 0 });
  }
});
