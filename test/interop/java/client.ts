// grpc-java on gRPC. The Maven project is that of examples/java, with the script's program as one more class.
import { cpSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { buildOnce } from "../build.ts";
import type { InteropClient } from "../client.ts";
import { missingProgram, run } from "../run.ts";

const project = join(import.meta.dirname, "../../../examples/java");
const pom = join(project, "pom.xml");
const sources = join(project, "src");
const program = join(import.meta.dirname, "Interop.java");

export const client: InteropClient = {
  name: "grpc-java",
  transports: ["gRPC", "gRPC, TLS"],
  async prepare({ directory, protos }) {
    const missing = missingProgram("javac") ?? missingProgram("mvn");
    if (missing !== undefined) throw new Error(`${missing}; grpc-java needs a JDK of version 17 or newer, and Maven`);
    await buildOnce({
      directory,
      inputs: [import.meta.filename, pom, sources, program, protos],
      async build() {
        for (const old of ["src", "target"]) rmSync(join(directory, old), { recursive: true, force: true });
        cpSync(pom, join(directory, "pom.xml"));
        cpSync(sources, join(directory, "src"), { recursive: true });
        cpSync(program, join(directory, "src/main/java/Interop.java"));
        const args = ["--batch-mode", "--no-transfer-progress", "--quiet", `-Dprotos=${protos}`, "compile"];
        const { status, stdout } = await run("mvn", args, { cwd: directory });
        if (status !== 0) throw new Error(`mvn compile failed: ${stdout}`);
      },
    });
    const [, version = "unknown"] = /<grpc\.version>(.*)<\/grpc\.version>/.exec(readFileSync(pom, "utf8")) ?? [];
    const classes = [join(directory, "target/classes"), join(directory, "target/lib/*")].join(delimiter);
    return {
      version,
      command: ["java", "-cp", classes, "Interop"],
      example: ["java", "-cp", classes, "Example"],
    };
  },
  example: "examples/java/src/main/java/Example.java",
};
