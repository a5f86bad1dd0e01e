import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamToJson, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { Codec, CodecOptions } from "../../call/codec.ts";
import { toUnaryExchange } from "../../call/exchange.ts";
import { hasForeignCharset, mediaType, rawPath } from "../../http/request.ts";
import { send } from "../../http/response.ts";
import type { ListenerRequest } from "../../listener/handler.ts";
import { type Rpc, readRpcPath } from "../../rpc-table.ts";
import { createUnary } from "../unary.ts";
import { createConnectUnary, queryOf } from "./unary.ts";

const unaryTypes = ["application/json", "application/proto"];
const streamTypes = ["application/connect+json", "application/connect+proto"];

const takesGet = ({ spec }: Rpc): boolean => spec.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;

/** The HTTP methods of an RPC's own path. */
export const methodsOf = (rpc: Rpc): readonly string[] => [...(takesGet(rpc) ? ["GET"] : []), "OPTIONS", "POST"];

/**
 * Whether a request that no RPC and no HTTP rule takes was meant for an RPC: by what its client says of itself, or by the form
 * of path and content type. Else it is one of REST.
 */
export function seemsConnect(request: ListenerRequest): boolean {
  const type = mediaType(request);
  if (request.headers["connect-protocol-version"] !== undefined || streamTypes.includes(type)) return true;
  if (request.method === "GET") return queryOf(request).get("connect") === "v1";
  const hasPackage = readRpcPath(rawPath(request))?.service.includes(".") === true;
  return request.method === "POST" && unaryTypes.includes(type) && hasPackage;
}

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
    refuseCall({ request, response }, refusal) {
      const type = mediaType(request);
      if (!streamTypes.includes(type)) return refuse(response, refusal);
      // A client of streams reads the last message, and no body of another status.
      const end = JSON.stringify(endStreamToJson(new Headers(), refusal.error, undefined));
      const body = encodeEnvelope(endStreamFlag, Buffer.from(end));
      send(response, { status: 200, header: { "content-type": type }, body });
    },
    // Connect's handlers answer a wrong verb or content type with a bare status; ours say what is wanted.
    async serve(exchange) {
      const { rpc, request, response } = exchange;
      const supported = rpc.spec.kind === "unary" ? unaryTypes : streamTypes;
      const isGet = request.method === "GET" && takesGet(rpc);
      const knowsType = isGet
        ? ["json", "proto"].includes(queryOf(request).get("encoding") ?? "")
        : supported.includes(mediaType(request)) && !hasForeignCharset(request);
      if (request.method !== "POST" && !isGet) {
        const error = new ConnectError(`${rpc.path} is called with POST`, Code.Unimplemented);
        refuse(response, { error, status: 405, header: { allow: methodsOf(rpc).join(", ") } });
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
