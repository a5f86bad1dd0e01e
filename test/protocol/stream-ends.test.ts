// A stream that the server ends before all was said must never look like one that is complete. transcoding-streams.test.ts says
// the same of REST.
import { once } from "node:events";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import type { Outcome } from "../../src/rpc/call/outcome.ts";
import { Health } from "../../src/rpc/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.ts";
import { type EchoOptions, openEcho } from "../fixtures/echo.ts";
import { CountRequestSchema, EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { exchange, frame, outcomeOf } from "../fixtures/wire.ts";
import { session2 } from "./listener-clients.ts";

const closing: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(): Promise<TestServer> {
  const server = await startTestServer();
  closing.push(() => server.close({ graceMs: 0 }));
  return server;
}

const protocols = [
  { version: 2, type: "application/grpc", timeout: "grpc-timeout" },
  { version: 1, type: "application/grpc-web", timeout: "grpc-timeout" },
  { version: 2, type: "application/grpc-web", timeout: "grpc-timeout" },
  { version: 1, type: "application/grpc-web-text", timeout: "grpc-timeout" },
  { version: 1, type: "application/connect+proto", timeout: "connect-timeout-ms" },
  { version: 2, type: "application/connect+proto", timeout: "connect-timeout-ms" },
] as const;

/** What clients of gRPC and Connect say when they wait for so long. */
const deadline = (name: (typeof protocols)[number]["timeout"], ms: number): Record<string, string> => ({
  [name]: name === "grpc-timeout" ? `${ms}m` : String(ms),
});

/** A text form is sent and read as base64. */
const encoded = (type: string, body: Buffer): Buffer =>
  type.endsWith("-text") ? Buffer.from(body.toString("base64")) : body;

describe.each(protocols)("$type over HTTP/$version", ({ version, type, timeout }) => {
  const headers = { "content-type": type, te: "trailers", ...deadline(timeout, 50) };

  it("ends a health watch with DEADLINE_EXCEEDED when its time passes", async () => {
    const { url, failures } = await start();
    const body = encoded(type, frame(Buffer.alloc(0)));
    const reply = await exchange(url, { version, path: `/${Health.typeName}/Watch`, headers, body });
    expect(outcomeOf(reply).code).toBe(Code.DeadlineExceeded);
    expect(failures).toEqual([]);
  });

  it.each<{ what: string; count: NonNullable<EchoOptions["implementation"]>["count"] }>([
    {
      what: "stops without a word",
      async *count(_, { signal }) {
        yield { number: 1 };
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    },
    {
      what: "says nothing, and does not look at the signal",
      async *count() {
        await new Promise(() => {});
      },
    },
    {
      what: "throws something of its own",
      async *count(_, { signal }) {
        yield { number: 1 };
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        throw new Error("the query was interrupted");
      },
    },
  ])("ends with DEADLINE_EXCEEDED where an implementation $what", async ({ count }) => {
    const outcomes: Outcome[] = [];
    const observe = () => (outcome: Outcome) => void outcomes.push(outcome);
    const { url, failures } = await openEcho({ implementation: { count: count as never }, observe });
    const body = encoded(type, frame(toBinary(CountRequestSchema, create(CountRequestSchema, { to: 1 }))));
    const reply = await exchange(url, { version, path: `/${EchoService.typeName}/Count`, headers, body });
    expect(outcomeOf(reply).code).toBe(Code.DeadlineExceeded);
    await expect.poll(() => outcomes).toEqual([Code.DeadlineExceeded]);
    expect(failures).toEqual([]);
  });

  it("ends with DEADLINE_EXCEEDED where the gate still waits", async () => {
    const { url, failures } = await openEcho({ gate: () => new Promise(() => {}) });
    const body = encoded(type, frame(toBinary(CountRequestSchema, create(CountRequestSchema, { to: 1 }))));
    const reply = await exchange(url, { version, path: `/${EchoService.typeName}/Count`, headers, body });
    expect(outcomeOf(reply).code).toBe(Code.DeadlineExceeded);
    expect(failures).toEqual([]);
  });
});

describe("reflection", () => {
  async function ask(server: TestServer, headers: Record<string, string> = {}) {
    const path = `/${ServerReflection.typeName}/ServerReflectionInfo`;
    const stream = session2(server).request(
      { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers },
      { endStream: false },
    );
    const ended = once(stream, "trailers").then(([trailers]) => Number(trailers["grpc-status"]));
    // Asks for the list of services, and might ask more.
    stream.write(frame(Buffer.from([0x3a, 0])));
    stream.resume();
    return { stream, ended };
  }

  it("ends with DEADLINE_EXCEEDED when its time passes, while its client might ask more", async () => {
    const { ended } = await ask(await start(), { "grpc-timeout": "50m" });
    expect(await ended).toBe(Code.DeadlineExceeded);
  });

  it("ends with UNAVAILABLE when the server closes", async () => {
    const server = await start();
    const { stream, ended } = await ask(server);
    await once(stream, "data");
    void server.close();
    expect(await ended).toBe(Code.Unavailable);
  });
});
