import type { Readable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus, trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import type { Exchange } from "../../call/exchange.ts";
import { readBody } from "../../http/body.ts";
import { toNodeHeaders } from "../../http/headers.ts";
import { checkLength, envelope, openEnvelope, readEnvelope } from "../envelope.ts";
import { normalizeMessage } from "../grpc/status.ts";
import { grpcHeaders } from "../grpc/unary.ts";
import type { UnaryProtocol } from "../unary.ts";
import { decodeText, isText } from "./text.ts";

/** Unary calls of gRPC-Web, in its binary form and in its text form. */
export const grpcWebUnary: UnaryProtocol = {
  ...grpcHeaders,
  name: "grpc-web",
  read: ({ head, source }, maxBytes) => (isText(head) ? readText(source, maxBytes) : readEnvelope(source, maxBytes)),
  open: (sent, head, maxBytes) => openEnvelope(isText(head) ? decodeText(sent.toString("latin1")) : sent, maxBytes),
  send(exchange, { context, bytes, isJson, encoding }) {
    const { responseHeader, responseTrailer } = context;
    let trailers = success;
    if (!isEmpty(responseTrailer)) {
      responseTrailer.set("grpc-status", "0");
      trailers = trailerFrame(responseTrailer);
    }
    const body = Buffer.concat([envelope(bytes, encoding === undefined ? 0 : 1), trailers]);
    sendFrames(exchange, { header: responseHeader, isJson, body, ...(encoding && { encoding }) });
  },
  sendError(exchange, { context, error }) {
    const { responseHeader, responseTrailer } = context;
    setTrailerStatus(responseTrailer, error);
    normalizeMessage(responseTrailer);
    const body = trailerFrame(responseTrailer);
    sendFrames(exchange, { header: responseHeader, isJson: grpcHeaders.isJson(exchange.head), body });
  },
};

const trailerFrame = (trailer: Headers): Buffer => envelope(trailerSerialize(trailer), trailerFlag);

const isEmpty = (headers: Headers): boolean => headers.keys().next().done === true;

/** The trailers of nearly every answer. */
const success = trailerFrame(new Headers({ "grpc-status": "0" }));

function sendFrames(
  { head, reply }: Exchange,
  answer: { readonly header: Headers; readonly isJson: boolean; readonly body: Buffer; readonly encoding?: string },
): void {
  const { header, isJson, body, encoding } = answer;
  const form = isText(head) ? "grpc-web-text" : "grpc-web";
  reply.send({
    status: 200,
    header: {
      ...toNodeHeaders(header),
      "content-type": `application/${form}+${isJson ? "json" : "proto"}`,
      ...(encoding && { "grpc-encoding": encoding }),
    },
    body: isText(head) ? Buffer.from(body.toString("base64"), "latin1") : body,
  });
}

function readText(source: Readable, maxBytes: number): Promise<Buffer> {
  // Each flush may be padded by itself, so a message can take more than four thirds of its size, but not this much.
  const maxText = 4 * (maxBytes + 16);
  return readBody(source, (length, start) => {
    const head = start.toString("latin1", 0, 8);
    if (/^[A-Za-z0-9+/]{8}$/.test(head)) checkLength(Buffer.from(head, "base64"), maxBytes);
    if (length > maxText) {
      throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
    }
  });
}
