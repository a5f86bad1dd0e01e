// What an observer is told where no answer says it; test/protocol/both-paths.test.ts looks at all answers.
import { connect, constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { ObservedCall, Outcome } from "../../src/rpc/call/outcome.ts";
import { openEcho } from "../fixtures/echo.ts";

interface Told {
  readonly call: ObservedCall;
  readonly outcome: Outcome;
}

describe.each([
  ["the direct path", false],
  ["Connect's handlers", true],
])("an observer of %s", (_, stockHandlers) => {
  async function open() {
    let tell = (_: Told): void => {};
    const told = new Promise<Told>((resolve) => {
      tell = resolve;
    });
    const server = await openEcho({ stockHandlers, observe: (call) => (outcome) => tell({ call, outcome }) });
    return { server, told };
  }

  it("is told that the client went before there was an answer", async () => {
    const { server, told } = await open();
    const session = connect(server.url);
    const begun = server.nextWait();
    const stream = session.request({
      ":method": "POST",
      ":path": "/portcullis.test.v1.EchoService/Wait",
      "content-type": "application/grpc",
      te: "trailers",
    });
    stream.on("error", () => {});
    stream.end(Buffer.alloc(5));
    await begun;
    stream.close(constants.NGHTTP2_CANCEL);
    const { call, outcome } = await told;
    expect(outcome).toBe(Code.Canceled);
    expect(call).toMatchObject({ protocol: "grpc", method: { name: "Wait" } });
    session.close();
  });

  it("is told of a request that reaches no RPC", async () => {
    const { server, told } = await open();
    await fetch(`${server.url}/nowhere`);
    expect(await told).toMatchObject({ call: { protocol: "rest" }, outcome: Code.NotFound });
    expect((await told).call.method).toBeUndefined();
  });

  it.each(["/portcullis.test.v1.EchoService/Typed", "/test/v1/rooms/a/say"])(
    "is told of no call where OPTIONS asks about %s",
    async (path) => {
      const { server, told } = await open();
      await fetch(server.url + path, { method: "OPTIONS" });
      const { call, outcome } = await told;
      expect([call.method, outcome]).toEqual([undefined, 0]);
    },
  );
});
