import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { toNodeHeaders } from "../../http/headers.ts";
import { mediaType, type RequestHead } from "../../http/request.ts";
import { envelope, openEnvelope, readEnvelope } from "../envelope.ts";
import type { UnaryProtocol } from "../unary.ts";
import { normalizeMessage } from "./status.ts";

/** What gRPC and gRPC-Web say alike in the headers of a request. */
export const grpcHeaders = {
  isJson: (head: RequestHead) => mediaType(head).endsWith("+json"),
  timeHeader: "grpc-timeout",
  encodings: ({ headers }: RequestHead) => ({
    sent: (headers["grpc-encoding"] as string | undefined) ?? null,
    accepted: (headers["grpc-accept-encoding"] as string | undefined) ?? null,
  }),
  acceptEncodingHeader: "grpc-accept-encoding",
} satisfies Partial<UnaryProtocol>;

/** Unary calls of gRPC. */
export const grpcUnary: UnaryProtocol = {
  ...grpcHeaders,
  name: "grpc",
  read: ({ source }, maxBytes) => readEnvelope(source, maxBytes),
  open: (sent, _, maxBytes) => openEnvelope(sent, maxBytes),
  send({ reply }, { context, bytes, isJson, encoding }) {
    reply.send({
      status: 200,
      header: {
        ...toNodeHeaders(context.responseHeader),
        "content-type": isJson ? "application/grpc+json" : "application/grpc+proto",
        ...(encoding && { "grpc-encoding": encoding }),
      },
      body: envelope(bytes, encoding === undefined ? 0 : 1),
      trailer: { ...toNodeHeaders(context.responseTrailer), "grpc-status": "0" },
    });
  },
  sendError({ head, reply }, { context, error }) {
    const { responseHeader, responseTrailer } = context;
    setTrailerStatus(responseTrailer, error);
    normalizeMessage(responseTrailer);
    const type = { "content-type": grpcHeaders.isJson(head) ? "application/grpc+json" : "application/grpc+proto" };
    const header = toNodeHeaders(responseHeader);
    const trailer = toNodeHeaders(responseTrailer);
    // Without headers of the call's own, the trailers can be the headers, which end the stream at once.
    if (header === undefined) reply.send({ status: 200, header: { ...type, ...trailer } });
    else reply.send({ status: 200, header: { ...header, ...type }, trailer: trailer ?? {} });
  },
};
