import { npmVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { certificatePath } from "../ports.ts";
import { cannot } from "./cannot.ts";

export const client: InteropClient = {
  name: "@zitadel/node",
  transports: ["gRPC", "gRPC, TLS"],
  prepare: async () => ({
    version: npmVersion("@zitadel/node"),
    command: nodeCommand(new URL("program.ts", import.meta.url)),
    // It picks TLS by the scheme of the URL and lets nobody name an authority; grpc-js reads this when it is imported.
    env: { GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: certificatePath },
  }),
  cannot,
};
