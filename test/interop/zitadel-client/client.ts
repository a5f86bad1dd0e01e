import { npmVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { cannotOver } from "./cannot.ts";

export const client: InteropClient = {
  name: "@zitadel/client",
  transports: ["gRPC (/node)", "gRPC (/node), TLS", "gRPC-Web (/web)", "gRPC-Web (/web), TLS"],
  prepare: async () => ({
    version: npmVersion("@zitadel/client"),
    command: nodeCommand(new URL("program.ts", import.meta.url)),
  }),
  cannot: cannotOver,
};
