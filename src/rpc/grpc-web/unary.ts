import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus, trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { readBody } from "../body.ts";
import { envelope, openEnvelope, readEnvelope, type Sent } from "../envelope.ts";
import { normalizeMessage } from "../grpc/status-message.ts";
import { grpcHeaders } from "../grpc/unary.ts";
import { type HttpRequest, type HttpResponse, send, toNodeHeaders } from "../http.ts";
import type { UnaryProtocol } from "../unary.ts";
import { decodeText, isText } from "./text.ts";

/** Unary calls of gRPC-Web, in its binary form and in its text form. */
export const grpcWebUnary: UnaryProtocol = {
  ...grpcHeaders,
  name: "grpc-web",
  readMessage: (request, maxBytes) => (isText(request) ? readText(request, maxBytes) : readEnvelope(request, maxBytes)),
  send({ request, response }, { context, bytes, isJson, encoding }) {
    const { responseHeader, responseTrailer } = context;
    responseTrailer.set("grpc-status", "0");
    const body = Buffer.concat([envelope(bytes, encoding === undefined ? 0 : 1), trailerFrame(responseTrailer)]);
    sendFrames({ request, response }, { header: responseHeader, isJson, body, ...(encoding && { encoding }) });
  },
  sendError({ request, response }, { context, error }) {
    const { responseHeader, responseTrailer } = context;
    setTrailerStatus(responseTrailer, error);
    normalizeMessage(responseTrailer);
    const body = trailerFrame(responseTrailer);
    sendFrames({ request, response }, { header: responseHeader, isJson: grpcHeaders.isJson(request), body });
  },
};

const trailerFrame = (trailer: Headers): Buffer => envelope(trailerSerialize(trailer), trailerFlag);

function sendFrames(
  { request, response }: { readonly request: HttpRequest; readonly response: HttpResponse },
  answer: { readonly header: Headers; readonly isJson: boolean; readonly body: Buffer; readonly encoding?: string },
): void {
  const { header, isJson, body, encoding } = answer;
  const form = isText(request) ? "grpc-web-text" : "grpc-web";
  send(response, {
    status: 200,
    header: {
      ...toNodeHeaders(header),
      "content-type": `application/${form}+${isJson ? "json" : "proto"}`,
      ...(encoding && { "grpc-encoding": encoding }),
    },
    body: isText(request) ? Buffer.from(body.toString("base64"), "latin1") : body,
  });
}

async function readText(request: HttpRequest, maxBytes: number): Promise<Sent> {
  // Each flush may be padded by itself, so a message can take more than four thirds of its size, but not this much.
  const maxText = 4 * (maxBytes + 16);
  const text = await readBody(request, (length) => {
    if (length > maxText)
      throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
  });
  return openEnvelope(decodeText(text.toString("latin1")), maxBytes);
}
