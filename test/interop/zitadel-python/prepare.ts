import { join } from "node:path";
import { buildOnce, must, toolchainVersion } from "../build.ts";

const requirements = join(import.meta.dirname, "requirements.txt");

/** Installs the SDK in a folder, and resolves to the Python that has it. */
export async function preparePython(directory: string): Promise<string> {
  const version = await toolchainVersion("python3", ["--version"], "install Python 3.10 or newer, with venv");
  const python = join(directory, "venv/bin/python");
  await buildOnce({
    directory,
    inputs: [import.meta.filename, requirements],
    toolchain: [version],
    build: async () => {
      await must("python3", ["-m", "venv", "--clear", join(directory, "venv")]);
      await must(python, ["-m", "pip", "install", "--quiet", "--requirement", requirements]);
    },
  });
  return python;
}
