// gRPC's interoperability clients, and which of their cases are run.
import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildOnce, must, toolchainVersion } from "../build.ts";
import type { Command } from "../client.ts";
import { certificatePath } from "../ports.ts";
import { missingProgram, run } from "../run.ts";
import { casesOfBoth, casesOfJava, leftOutOfBoth, leftOutOfJava } from "./cases.ts";

/** An interoperability client: a program that runs one case, and exits with 0 where the server passes it. */
export interface Suite {
  readonly name: string;
  readonly version: string;
  /** Builds it in a folder that is kept between runs. Rejects with a sentence where a toolchain is missing. */
  prepare(directory: string): Promise<Program>;
  /** Written out, so that a case that gets lost is noticed. */
  readonly cases: readonly string[];
  /** Cases that are not run, each with the reason. With `cases`, they are all that the program has. */
  readonly leftOut: Readonly<Record<string, string>>;
}

export interface Program {
  /** All cases that it says it has. */
  readonly allCases: readonly string[];
  command(run: { readonly testCase: string; readonly port: number; readonly isTls: boolean }): Command;
}

const goModule = join(import.meta.dirname, "go");
const pom = join(import.meta.dirname, "java/pom.xml");

/** The names in a usage, each before a colon. */
function casesIn(usage: string): readonly string[] {
  // The next flag ends the list.
  const [, options = ""] = /Valid options(?: are)?:(.*?)^ *-/ms.exec(usage) ?? [];
  return [...options.matchAll(/^\s+(\w+) ?:/gm)].map(([, name = ""]) => name);
}

/** The soak tests are not to fail by a machine that is busy. */
const patience = ["soak_per_iteration_max_acceptable_latency_ms=60000", "soak_overall_timeout_seconds=100"] as const;

const grpcGo: Suite = {
  name: "grpc-go, interop/client",
  version: "1.85.0",
  cases: casesOfBoth,
  leftOut: leftOutOfBoth,
  async prepare(directory) {
    const go = await toolchainVersion("go", ["version"], "install Go 1.26 or newer");
    await buildOnce({
      directory,
      inputs: [import.meta.filename, goModule],
      toolchain: [go],
      async build() {
        for (const file of readdirSync(goModule)) copyFileSync(join(goModule, file), join(directory, file));
        await must("go", ["build", "-mod=readonly", "-o", "bin/", "tool"], { cwd: directory });
      },
    });
    const client = join(directory, "bin/client");
    const { stderr } = await run(client, ["-help"]);
    return {
      // Its usage says nothing of these.
      allCases: [...casesIn(stderr), "rpc_soak", "channel_soak"],
      command: ({ testCase, port, isTls }) => [
        client,
        ...["-server_host", "localhost", "-server_port", String(port), "-test_case", testCase],
        ...patience.map((flag) => `-${flag}`),
        ...(isTls ? ["-use_tls", "-use_test_ca", "-ca_file", certificatePath] : []),
      ],
    };
  },
};

const grpcJava: Suite = {
  name: "grpc-java, TestServiceClient",
  version: "1.79.0",
  cases: [...casesOfBoth, ...casesOfJava],
  leftOut: { ...leftOutOfBoth, ...leftOutOfJava },
  async prepare(directory) {
    const missing = missingProgram("keytool", /^/) ?? missingProgram("mvn");
    if (missing !== undefined) throw new Error(`${missing}; grpc-java needs a JDK of version 17 or newer, and Maven`);
    const trusted = join(directory, "trusted.p12");
    await buildOnce({
      directory,
      inputs: [import.meta.filename, pom, certificatePath],
      async build() {
        for (const old of ["lib", "trusted.p12"]) rmSync(join(directory, old), { recursive: true, force: true });
        copyFileSync(pom, join(directory, "pom.xml"));
        const goal = ["dependency:copy-dependencies", "-DoutputDirectory=lib"];
        await must("mvn", ["--batch-mode", "--no-transfer-progress", "--quiet", ...goal], { cwd: directory });
        const store = ["-keystore", trusted, "-storetype", "PKCS12", "-storepass", password];
        await must("keytool", ["-importcert", "-noprompt", "-alias", "localhost", "-file", certificatePath, ...store]);
      },
    });
    const main = ["-cp", join(directory, "lib/*"), "io.grpc.testing.integration.TestServiceClient"];
    const { stdout } = await run("java", [...main, "--help"]);
    return {
      allCases: casesIn(stdout),
      command: ({ testCase, port, isTls }) => [
        "java",
        ...[`-Djavax.net.ssl.trustStore=${trusted}`, `-Djavax.net.ssl.trustStorePassword=${password}`],
        ...main,
        ...["--server_host=localhost", `--server_port=${port}`, `--test_case=${testCase}`, `--use_tls=${isTls}`],
        ...patience.map((flag) => `--${flag}`),
      ],
    };
  },
};

/** Keytool wants one, and nothing in it is secret. */
const password = "certificates";

/** By the folders in which they are built. */
export const suites: Readonly<Record<string, Suite>> = { "grpc-suite-go": grpcGo, "grpc-suite-java": grpcJava };
