import type { Codec, CodecOptions } from "../../call/codec.ts";
import { toUnaryExchange } from "../../call/exchange.ts";
import { mediaType } from "../../http/request.ts";
import type { ListenerRequest } from "../../listener/handler.ts";
import { sendTrailersOnly } from "../grpc/trailers-only.ts";
import { createUnary } from "../unary.ts";
import { decodeTextRequest, encodeTextResponse, isText } from "./text.ts";
import { grpcWebUnary } from "./unary.ts";

/** Whether the request is in gRPC-Web framing, binary or text. */
export const isGrpcWeb = (request: ListenerRequest): boolean =>
  /^application\/grpc-web(-text)?(\+|$)/.test(mediaType(request));

/** gRPC-Web over any HTTP version, in its binary form and in the base64 form that Google's client sends by default. */
export function createGrpcWebCodec({ serveStock, unary }: CodecOptions): Codec {
  const serveUnary = unary && createUnary(grpcWebUnary, unary);
  return {
    protocol: "grpc-web",
    serve: (exchange) => {
      if (serveUnary !== undefined && exchange.rpc.spec.kind === "unary") return serveUnary(toUnaryExchange(exchange));
      return serveStock(
        isText(exchange.request)
          ? { ...exchange, decodeRequest: decodeTextRequest, encodeResponse: encodeTextResponse }
          : exchange,
      );
    },
    refuse: (response, refusal) =>
      sendTrailersOnly(response, { ...refusal, contentType: "application/grpc-web+proto" }),
  };
}
