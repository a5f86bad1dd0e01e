import { join } from "node:path";
import { buildOnce, must, toolchainVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { cannot } from "./cannot.ts";

const version = "1.9.4";

export const client: InteropClient = {
  name: "grpcurl",
  transports: ["gRPC", "gRPC, TLS"],
  async prepare({ directory }) {
    const go = await toolchainVersion("go", ["version"], "install Go 1.24 or newer");
    await buildOnce({
      directory,
      inputs: [import.meta.filename],
      toolchain: [go, version],
      build: async () => {
        const env = { ...process.env, GOBIN: directory };
        await must("go", ["install", `github.com/fullstorydev/grpcurl/cmd/grpcurl@v${version}`], { env });
      },
    });
    return {
      version,
      command: nodeCommand(new URL("program.ts", import.meta.url)),
      env: { GRPCURL: join(directory, "grpcurl") },
    };
  },
  cannot,
};
