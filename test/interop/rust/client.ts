// tonic on gRPC. The crate is that of examples/rust, with the script's program as one more binary.
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildOnce } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { missingProgram, run } from "../run.ts";

const crate = join(import.meta.dirname, "../../../examples/rust");
const parts = ["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs"];
const program = join(import.meta.dirname, "interop.rs");

export const client: InteropClient = {
  name: "tonic",
  transports: ["gRPC", "gRPC, TLS"],
  async prepare({ directory, protos }) {
    const missing = missingProgram("cargo") ?? missingProgram("protoc");
    if (missing !== undefined)
      throw new Error(`${missing}; tonic needs Rust 1.88 or newer, and protoc with its .proto files`);
    const target = join(directory, "target");
    await buildOnce({
      directory,
      inputs: [import.meta.filename, ...parts.map((part) => join(crate, part)), program, protos],
      async build() {
        for (const part of parts) cpSync(join(crate, part), join(directory, part));
        cpSync(program, join(directory, "src/bin/interop.rs"));
        const args = ["build", "--locked", "--quiet", "--target-dir", target];
        const env = { ...process.env, PORTCULLIS_PROTOS: protos, CARGO_PROFILE_DEV_DEBUG: "none" };
        const { status, stderr } = await run("cargo", args, { cwd: directory, env });
        if (status !== 0) throw new Error(`cargo build failed: ${stderr}`);
      },
    });
    const lock = readFileSync(join(crate, "Cargo.lock"), "utf8");
    const [, version = "unknown"] = /name = "tonic"\nversion = "(.*)"/.exec(lock) ?? [];
    return {
      version,
      command: [join(target, "debug/interop")],
      example: [join(target, "debug/portcullis-example")],
    };
  },
  example: "examples/rust/src/main.rs",
};
