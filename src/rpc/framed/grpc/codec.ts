import type { Codec, CodecOptions } from "../../call/codec.ts";
import { toUnaryExchange, type UnaryExchange } from "../../call/exchange.ts";
import type { Outcome } from "../../call/outcome.ts";
import { mediaType } from "../../http/request.ts";
import type { ListenerRequest } from "../../listener/handler.ts";
import { createUnary } from "../unary.ts";
import { withNormalMessage } from "./status-message.ts";
import { sendTrailersOnly } from "./trailers-only.ts";
import { grpcUnary } from "./unary.ts";

/** Whether the request is in gRPC framing. */
export const isGrpc = (request: ListenerRequest): boolean => /^application\/grpc(\+|$)/.test(mediaType(request));

export interface GrpcCodec extends Codec {
  /** Serves one unary call directly; absent where Connect's handlers do. */
  readonly serveUnary?: (exchange: UnaryExchange) => Promise<Outcome>;
}

/** gRPC over HTTP/2. */
export function createGrpcCodec({ serveStock, unary }: CodecOptions): GrpcCodec {
  const serveUnary = unary && createUnary(grpcUnary, unary);
  return {
    protocol: "grpc",
    ...(serveUnary && { serveUnary }),
    serve: (exchange) =>
      serveUnary !== undefined && exchange.rpc.spec.kind === "unary"
        ? serveUnary(toUnaryExchange(exchange))
        : serveStock({ ...exchange, encodeResponse: withNormalMessage }),
    refuse: (response, refusal) => sendTrailersOnly(response, { ...refusal, contentType: "application/grpc" }),
  };
}
