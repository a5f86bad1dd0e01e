import { npmVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { transports } from "./transports.ts";

export const client: InteropClient = {
  name: "@connectrpc/connect-node",
  transports: Object.keys(transports),
  prepare: async () => ({
    version: npmVersion("@connectrpc/connect-node"),
    command: nodeCommand(new URL("program.ts", import.meta.url)),
  }),
};
