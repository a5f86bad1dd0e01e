// gRPC's own interoperability clients against a server of src/rpc: each case, in plaintext and over TLS.
//
//   npm run test:interop -- grpc-suite.test.ts -t java
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import { type Listener, openListener } from "../../src/rpc/listener/listener.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { TestService } from "../fixtures/gen/grpc/testing/test_pb.ts";
import { testService } from "./grpc-suite/service.ts";
import { type Program, suites } from "./grpc-suite/suites.ts";
import { ports } from "./ports.ts";
import { cache } from "./protos.ts";
import { requiredSuites } from "./required.ts";
import { run } from "./run.ts";
import { skipped } from "./skipped.ts";
import { addRows } from "./table.ts";

// The first time, downloads and a build take minutes.
const prepareTimeoutMs = 600_000;
const caseTimeoutMs = 120_000;
/** The largest request of a case has 10 MB. */
const maxRequestBytes = 32 * 1024 * 1024;

// Not a test, which `-t` could leave out.
const counts = Object.entries(suites).map(([folder, { cases }]) => [folder, new Set(cases).size]);
expect(Object.fromEntries(counts), "the suites, and those that required.ts lists").toEqual(requiredSuites);

describe.each(Object.entries(suites).filter(([folder]) => !skipped.has(folder)))("%s", (folder, suite) => {
  let program: Program;

  beforeAll(async () => {
    const directory = join(cache, folder);
    mkdirSync(directory, { recursive: true });
    program = await suite.prepare(directory);
  }, prepareTimeoutMs);

  afterAll(() => {
    const lines = Object.entries(suite.leftOut).map(([name, reason]) => `${suite.name} without ${name}: ${reason}\n`);
    process.stderr.write(lines.join(""));
  });

  it("has no cases but those that are run and those that are left out for a reason", () => {
    expect(program.allCases.toSorted()).toEqual([...suite.cases, ...Object.keys(suite.leftOut)].toSorted());
  });

  describe.each(["plaintext", "TLS"] as const)("%s", (port) => {
    const failures: unknown[] = [];
    const passed: string[] = [];
    let listener: Listener;

    beforeAll(async () => {
      const rpcs = createRpcTable((router) => router.service(TestService, testService));
      const handler = createDispatch(rpcs, {
        gate() {},
        interceptors: [],
        maxRequestBytes,
        registry: createRegistry(),
        onFailure: (reason) => failures.push(reason),
      });
      listener = await openListener({ host: "127.0.0.1", port: 0, handler, ...ports[port] });
    });

    afterAll(async () => {
      await listener.close({ graceMs: 0 });
      const transport = port === "TLS" ? "gRPC, TLS" : "gRPC";
      const result = `${passed.length} of ${suite.cases.length} cases`;
      addRows([{ client: suite.name, version: suite.version, transport, result }]);
      process.stderr.write(`${suite.name}, ${transport}: ${passed.join(", ")}\n`);
    });

    it.each(suite.cases)("passes %s", { timeout: caseTimeoutMs + 10_000 }, async (testCase) => {
      const [file, ...args] = program.command({ testCase, port: listener.port, isTls: port === "TLS" });
      const { status, stdout, stderr } = await run(file, args, { timeout: caseTimeoutMs });
      expect(status, `${stdout}${stderr}`.slice(-4_000)).toBe(0);
      expect(failures).toEqual([]);
      passed.push(testCase);
    });
  });
});
