import type { Codec } from "../codec.ts";
import { sendTrailersOnly } from "../grpc/trailers-only.ts";
import { type HttpRequest, mediaType } from "../http.ts";
import type { ServeStock } from "../stock.ts";
import { decodeTextRequest, encodeTextResponse } from "./text.ts";

/** Whether the request is in gRPC-Web framing, binary or text. */
export const isGrpcWeb = (request: HttpRequest): boolean =>
  /^application\/grpc-web(-text)?(\+|$)/.test(mediaType(request));

const isText = (request: HttpRequest): boolean => mediaType(request).startsWith("application/grpc-web-text");

/** gRPC-Web over any HTTP version, in its binary form and in the base64 form that Google's client sends by default. */
export function createGrpcWebCodec(serveStock: ServeStock): Codec {
  return {
    serve: (exchange) =>
      serveStock(
        isText(exchange.request)
          ? { ...exchange, decodeRequest: decodeTextRequest, encodeResponse: encodeTextResponse }
          : exchange,
      ),
    refuse: (response, refusal) =>
      sendTrailersOnly(response, { ...refusal, contentType: "application/grpc-web+proto" }),
  };
}
