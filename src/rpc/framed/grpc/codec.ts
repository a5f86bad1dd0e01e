import type { Codec } from "../../codec.ts";
import { mediaType, type RequestHead } from "../../http/request.ts";
import { type CodecOptions, createFramed } from "../codec.ts";
import { sendTrailersOnly, withNormalMessage } from "./status.ts";
import { grpcUnary } from "./unary.ts";

/** Whether the request is in gRPC framing. */
export const isGrpc = (head: RequestHead): boolean => /^application\/grpc(\+|$)/.test(mediaType(head));

/** gRPC over HTTP/2. */
export const createGrpcCodec = (options: CodecOptions): Codec => ({
  protocol: "grpc",
  ...createFramed(grpcUnary, options, () => ({ encodeResponse: withNormalMessage })),
  refuse: ({ reply }, refusal) => sendTrailersOnly(reply, refusal, "application/grpc"),
});
