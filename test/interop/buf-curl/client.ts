import { join } from "node:path";
import { npmVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { cannot } from "./cannot.ts";
import { transports } from "./transports.ts";

export const client: InteropClient = {
  name: "buf curl",
  transports: Object.keys(transports),
  prepare: async ({ protos }) => ({
    version: npmVersion("@bufbuild/buf"),
    command: nodeCommand(new URL("program.ts", import.meta.url)),
    env: { SCHEMA: join(protos, "portcullis.binpb") },
  }),
  cannot,
};
