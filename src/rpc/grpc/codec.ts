import type { Codec } from "../codec.ts";
import { type HttpRequest, mediaType } from "../http.ts";
import type { ServeStock } from "../stock.ts";
import { withNormalMessage } from "./status-message.ts";
import { sendTrailersOnly } from "./trailers-only.ts";

/** Whether the request is in gRPC framing. */
export const isGrpc = (request: HttpRequest): boolean => /^application\/grpc(\+|$)/.test(mediaType(request));

/** gRPC over HTTP/2. */
export function createGrpcCodec(serveStock: ServeStock): Codec {
  return {
    serve: (exchange) => serveStock({ ...exchange, encodeResponse: withNormalMessage }),
    refuse: (response, refusal) => sendTrailersOnly(response, { ...refusal, contentType: "application/grpc" }),
  };
}
