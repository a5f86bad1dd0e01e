import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Codec } from "../codec.ts";
import { type HttpRequest, mediaType, send } from "../http.ts";
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
    // The status in headers alone: every gRPC-Web client reads it there when there is no body.
    refuse(response, { error, header }) {
      const trailer = new Headers();
      setTrailerStatus(trailer, error);
      send(response, {
        status: 200,
        header: { ...header, "content-type": "application/grpc-web+proto", ...Object.fromEntries(trailer) },
      });
    },
  };
}
