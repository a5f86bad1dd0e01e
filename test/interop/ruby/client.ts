// Ruby's net/http on REST.
import { join } from "node:path";
import type { InteropClient } from "../client.ts";
import { missingProgram, run } from "../run.ts";

export const client: InteropClient = {
  name: "Ruby net/http",
  transports: ["REST, HTTP/1.1", "REST, HTTP/1.1, TLS"],
  async prepare() {
    const missing = missingProgram("ruby");
    if (missing !== undefined) throw new Error(missing);
    const { stdout } = await run("ruby", ["-e", "print RUBY_VERSION"]);
    return {
      version: stdout,
      command: ["ruby", join(import.meta.dirname, "interop.rb")],
      example: ["ruby", join(import.meta.dirname, "../../../examples/ruby/example.rb")],
    };
  },
  example: "examples/ruby/example.rb",
};
