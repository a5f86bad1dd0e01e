import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildOnce, must, toolchainVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";

const example = fileURLToPath(new URL("../../../examples/python", import.meta.url));

export const client: InteropClient = {
  name: "Python grpcio",
  transports: ["gRPC", "gRPC, TLS"],
  async prepare({ directory, protos }) {
    const version = await toolchainVersion("python3", ["--version"], "install Python 3.10 or newer, with venv");
    const requirements = join(example, "requirements.txt");
    const generate = join(example, "generate.sh");
    const python = join(directory, "venv/bin/python");
    const stubs = join(directory, "stubs");
    await buildOnce({
      directory,
      inputs: [import.meta.filename, protos, requirements, generate],
      toolchain: [version],
      build: async () => {
        await must("python3", ["-m", "venv", "--clear", join(directory, "venv")]);
        await must(python, ["-m", "pip", "install", "--quiet", "--requirement", requirements]);
        rmSync(stubs, { recursive: true, force: true });
        await must("bash", [generate, protos, stubs], { env: { ...process.env, PYTHON: python } });
      },
    });
    const program = fileURLToPath(new URL("program.py", import.meta.url));
    return {
      version: (await must(python, ["-c", "import grpc; print(grpc.__version__)"])).trim(),
      command: [python, program],
      env: { PYTHONPATH: stubs, PYTHONDONTWRITEBYTECODE: "1" },
      example: [python, join(example, "second_factors.py")],
    };
  },
  example: "examples/python/second_factors.py",
};
