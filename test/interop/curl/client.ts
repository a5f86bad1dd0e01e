import { toolchainVersion } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { nodeCommand } from "../node-script.ts";
import { transports } from "./transports.ts";

export const client: InteropClient = {
  name: "curl",
  transports: Object.keys(transports),
  async prepare() {
    const said = await toolchainVersion("curl", ["--version"], "install curl 7.84 or newer");
    if (!/\bHTTP2\b/.test(said)) throw new Error("this curl is built without HTTP/2.");
    return {
      version: /^curl (\S+)/.exec(said)?.[1] ?? said,
      command: nodeCommand(new URL("program.ts", import.meta.url)),
      example: ["bash", "examples/curl/second-factors.sh"],
    };
  },
  example: "examples/curl/second-factors.sh",
};
