// In a process of its own: what a client cancels piles up only where the server is slower than the client.
import { type ClientHttp2Stream, connect, constants } from "node:http2";
import { expect, it } from "vitest";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { startServer, TemporaryDirectory } from "./portcullis.ts";

/** Resolves also where the stream ends with an error, which `once` would throw. */
const closing = (stream: ClientHttp2Stream) => new Promise((resolve) => stream.once("close", resolve));

it("a session outlives hundreds of calls that are cancelled at once, more than it may have open", async () => {
  using directory = new TemporaryDirectory();
  await using server = await startServer({ data: directory.join("data") });
  const session = connect(server.url);
  let goneAway: number | undefined;
  session.on("goaway", (code: number) => {
    goneAway = code;
  });
  session.on("error", () => {});
  const open = (): ClientHttp2Stream => {
    const stream = session.request({
      ":method": "POST",
      ":path": `/${ManagementService.typeName}/ListLoginPolicySecondFactors`,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${server.adminToken}`,
    });
    stream.on("error", () => {});
    stream.resume();
    stream.end(Buffer.alloc(5));
    return stream;
  };
  // The connection is there before them.
  await closing(open());
  const streams = Array.from({ length: 280 }, open);
  const closed = streams.map(closing);
  // When its answer comes, the calls have reached the server, and hardly any is answered.
  await new Promise((resolve) => session.ping(resolve));
  for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
  await Promise.all(closed);
  // One by one, calls are refused until enough of the others are torn down.
  for (let status: unknown; status !== "0"; ) {
    const stream = open();
    let trailers: unknown;
    stream.on("trailers", (received) => {
      trailers = received["grpc-status"];
    });
    await closing(stream);
    expect(goneAway).toBeUndefined();
    status = trailers;
  }
  session.close();
});
