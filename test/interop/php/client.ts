// PHP's curl extension on REST.
import { join } from "node:path";
import type { InteropClient } from "../client.ts";
import { missingProgram, run } from "../run.ts";

export const client: InteropClient = {
  name: "PHP curl",
  transports: ["REST, HTTP/1.1", "REST, HTTP/1.1, TLS", "REST, HTTP/2", "REST, HTTP/2, TLS"],
  async prepare() {
    const missing = missingProgram("php");
    if (missing !== undefined) throw new Error(missing);
    const versions = "print extension_loaded('curl') ? PHP_VERSION . ', libcurl ' . curl_version()['version'] : '';";
    const { stdout } = await run("php", ["-r", versions]);
    if (stdout === "") throw new Error("php has no curl extension; in Debian, the package php-curl brings it");
    return {
      version: stdout,
      command: ["php", join(import.meta.dirname, "interop.php")],
      example: ["php", join(import.meta.dirname, "../../../examples/php/example.php")],
    };
  },
  example: "examples/php/example.php",
};
