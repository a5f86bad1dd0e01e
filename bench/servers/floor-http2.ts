// The least that a gRPC server on node:http2 can do: it reads the request and answers fixed bytes and trailers.
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { announce, readAnswers } from "./answer.ts";

const answers = readAnswers();
const trailers = { "grpc-status": "0" };
const waits = { waitForTrailers: true };
const server = createServer();
server.on("stream", (stream, headers) => {
  const answer = answers.get(headers[":path"] ?? "");
  if (answer === undefined) {
    stream.respond({ ":status": 404 }, { endStream: true });
    return;
  }
  stream.resume();
  stream.on("end", () => {
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    stream.respond({ ":status": 200, "content-type": answer.contentType }, waits);
    stream.end(answer.body);
  });
});
server.listen(0, "127.0.0.1", () => announce((server.address() as AddressInfo).port));
