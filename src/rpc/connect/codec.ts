import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamToJson, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { Codec, CodecOptions } from "../codec.ts";
import { toUnaryExchange } from "../exchange.ts";
import { hasForeignCharset, mediaType, send } from "../http.ts";
import { createUnary } from "../unary.ts";
import { createConnectUnary, queryOf } from "./unary.ts";

const unaryTypes = ["application/json", "application/proto"];
const streamTypes = ["application/connect+json", "application/connect+proto"];

/** The Connect protocol, over any HTTP version. */
export function createConnectCodec({ serveStock, unary }: CodecOptions): Codec {
  const serveUnary = unary && createUnary(createConnectUnary(unary), unary);
  const refuse: Codec["refuse"] = (response, { error, status, header }) => {
    send(response, {
      status,
      header: { ...header, "content-type": "application/json" },
      body: errorToJsonBytes(error, undefined),
    });
  };
  return {
    protocol: "connect",
    refuse,
    refuseStream({ request, response }, error) {
      const end = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
      const header = { "content-type": mediaType(request) };
      send(response, { status: 200, header, body: encodeEnvelope(endStreamFlag, Buffer.from(end)) });
    },
    // Connect's handlers answer a wrong verb or content type with a bare status; ours say what is wanted.
    async serve(exchange) {
      const { rpc, request, response } = exchange;
      const supported = rpc.spec.kind === "unary" ? unaryTypes : streamTypes;
      const takesGet = rpc.spec.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      const isGet = takesGet && request.method === "GET";
      const knowsType = isGet
        ? ["json", "proto"].includes(queryOf(request).get("encoding") ?? "")
        : supported.includes(mediaType(request)) && !hasForeignCharset(request);
      if (request.method !== "POST" && !isGet) {
        const error = new ConnectError(`${rpc.path} is called with POST`, Code.Unimplemented);
        refuse(response, { error, status: 405, header: { allow: takesGet ? "GET, POST" : "POST" } });
        return error.code;
      }
      if (!knowsType) {
        const text = isGet
          ? "set the query parameter encoding to json or proto"
          : `set the header Content-Type to one of: ${supported.join(", ")}`;
        const error = new ConnectError(text, Code.InvalidArgument);
        refuse(response, { error, status: 415, header: { "accept-post": supported.join(", ") } });
        return error.code;
      }
      const isDirect = serveUnary !== undefined && rpc.spec.kind === "unary";
      return isDirect ? serveUnary(toUnaryExchange(exchange)) : serveStock(exchange);
    },
  };
}
