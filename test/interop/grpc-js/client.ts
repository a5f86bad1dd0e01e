import { npmVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";

export const client: InteropClient = {
  name: "@grpc/grpc-js",
  transports: ["gRPC", "gRPC, TLS"],
  prepare: async () => ({
    version: npmVersion("@grpc/grpc-js"),
    command: nodeCommand(new URL("program.ts", import.meta.url)),
  }),
};
