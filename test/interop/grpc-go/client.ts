import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOnce, must, toolchainVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";

// The program is built in the module of the example, whose stubs it shares.
const example = fileURLToPath(new URL("../../../examples/go", import.meta.url));
// The rest of its folder is what somebody built there.
const sources = ["go.mod", "go.sum", "generate.sh", "main.go"].map((name) => join(example, name));
const program = fileURLToPath(new URL("program.go", import.meta.url));

export const client: InteropClient = {
  name: "grpc-go",
  transports: ["gRPC", "gRPC, TLS"],
  async prepare({ directory, protos }) {
    const go = await toolchainVersion("go", ["version"], "install Go 1.26 or newer");
    const protoc = await toolchainVersion("protoc", ["--version"], "install Debian's protobuf-compiler");
    await buildOnce({
      directory,
      inputs: [import.meta.filename, protos, ...sources, program],
      toolchain: [go, protoc],
      build: async () => {
        for (const source of sources) copyFileSync(source, join(directory, basename(source)));
        mkdirSync(join(directory, "interop"), { recursive: true });
        rmSync(join(directory, "gen"), { recursive: true, force: true });
        copyFileSync(program, join(directory, "interop/main.go"));
        const options = { cwd: directory };
        await must("bash", ["generate.sh", protos], options);
        await must("go", ["build", "-mod=readonly", "-o", "bin/", ".", "./interop"], options);
      },
    });
    const version = /google\.golang\.org\/grpc v(\S+)/.exec(readFileSync(join(example, "go.mod"), "utf8"))?.[1];
    return {
      version: version ?? "unknown",
      command: [join(directory, "bin/interop")],
      example: [join(directory, "bin/second-factors")],
    };
  },
  example: "examples/go/main.go",
};
