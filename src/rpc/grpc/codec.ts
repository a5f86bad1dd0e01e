import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Codec } from "../codec.ts";
import { type HttpRequest, mediaType, send } from "../http.ts";
import type { ServeStock } from "../stock.ts";
import { normalizeMessage, withNormalMessage } from "./message.ts";

/** Whether the request is in gRPC framing. */
export const isGrpc = (request: HttpRequest): boolean => /^application\/grpc(\+|$)/.test(mediaType(request));

/** gRPC over HTTP/2. */
export function createGrpcCodec(serveStock: ServeStock): Codec {
  return {
    serve: (exchange) => serveStock({ ...exchange, encodeResponse: withNormalMessage }),
    // Trailers alone, with HTTP status 200: a gRPC client reads the error from grpc-status and nothing else.
    refuse(response, { error, header }) {
      const trailer = new Headers();
      setTrailerStatus(trailer, error);
      normalizeMessage(trailer);
      send(response, {
        status: 200,
        header: { ...header, "content-type": "application/grpc", ...Object.fromEntries(trailer) },
      });
    },
  };
}
