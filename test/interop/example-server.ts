import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export interface ExampleServer {
  readonly url: string;
  /** What it wrote to standard error so far. */
  readonly errors: () => string;
  close(): Promise<void>;
}

/** Starts a server of `examples/`, which says on standard output where it serves. */
export async function startExample(name: string): Promise<ExampleServer> {
  const server = spawn(process.execPath, [`examples/${name}`], {
    cwd: root,
    env: { PATH: process.env["PATH"], PORT: "0" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  server.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = once(server, "exit");
  const [line] = await Promise.race([
    once(server.stdout as Readable, "data") as Promise<[Buffer]>,
    ended.then(() => {
      throw new Error(`examples/${name} ended: ${errors}`);
    }),
  ]);
  return {
    url: /http:[^\s]+/.exec(line.toString())?.[0] ?? "",
    errors: () => errors,
    async close() {
      server.kill();
      await ended;
    },
  };
}
