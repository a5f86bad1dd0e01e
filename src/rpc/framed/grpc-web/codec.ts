import type { Codec } from "../../codec.ts";
import { mediaType, type RequestHead } from "../../http/request.ts";
import { type CodecOptions, createFramed } from "../codec.ts";
import { sendTrailersOnly } from "../grpc/status.ts";
import { decodeTextRequest, encodeTextResponse, isText } from "./text.ts";
import { grpcWebUnary } from "./unary.ts";

/** Whether the request is in gRPC-Web framing, binary or text. */
export const isGrpcWeb = (head: RequestHead): boolean => /^application\/grpc-web(-text)?(\+|$)/.test(mediaType(head));

/** gRPC-Web over any HTTP version, in its binary form and in the base64 form that Google's client sends by default. */
export const createGrpcWebCodec = (options: CodecOptions): Codec => ({
  protocol: "grpc-web",
  ...createFramed(grpcWebUnary, options, (head) =>
    isText(head) ? { decodeRequest: decodeTextRequest, encodeResponse: encodeTextResponse } : {},
  ),
  refuse: ({ reply }, refusal) => sendTrailersOnly(reply, refusal, "application/grpc-web+proto"),
});
