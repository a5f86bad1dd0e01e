import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { endStreamFlag, endStreamToJson, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { Codec } from "../../codec.ts";
import { hasForeignCharset, mediaType, type RequestHead, rawPath } from "../../http/request.ts";
import type { HttpRefusal } from "../../http/status.ts";
import { type Rpc, readRpcPath } from "../../rpc-table.ts";
import { type CodecOptions, createFramed } from "../codec.ts";
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
export function seemsConnect(head: RequestHead): boolean {
  const type = mediaType(head);
  if (head.headers["connect-protocol-version"] !== undefined || streamTypes.includes(type)) return true;
  if (head.method === "GET") return queryOf(head).get("connect") === "v1";
  const hasPackage = readRpcPath(rawPath(head))?.service.includes(".") === true;
  return head.method === "POST" && unaryTypes.includes(type) && hasPackage;
}

/** The Connect protocol, over any HTTP version. */
export function createConnectCodec(options: CodecOptions): Codec {
  const { serve } = createFramed(createConnectUnary(options), options);
  const refuse: Codec["refuse"] = ({ reply }, { error, status, header }) =>
    reply.send({
      status,
      header: { ...header, "content-type": "application/json" },
      body: errorToJsonBytes(error, undefined),
    });
  return {
    protocol: "connect",
    refuse,
    refuseCall(exchange, refusal) {
      const type = mediaType(exchange.head);
      if (!streamTypes.includes(type)) return refuse(exchange, refusal);
      // A client of streams reads the last message, and no body of another status.
      const end = JSON.stringify(endStreamToJson(new Headers(), refusal.error, undefined));
      const body = encodeEnvelope(endStreamFlag, Buffer.from(end));
      exchange.reply.send({ status: 200, header: { "content-type": type }, body });
    },
    // Connect's handlers answer a wrong verb or content type with a bare status; ours say what is wanted.
    async serve(exchange, target) {
      const refusal = problemOf(exchange.head, target.rpc);
      if (refusal === undefined) return serve(exchange, target);
      refuse(exchange, refusal);
      return refusal.error.code;
    },
  };
}

/** What is wrong with verb or content type. */
function problemOf(head: RequestHead, rpc: Rpc): HttpRefusal | undefined {
  const isGet = head.method === "GET" && takesGet(rpc);
  if (head.method !== "POST" && !isGet) {
    const error = new ConnectError(`${rpc.path} is called with POST`, Code.Unimplemented);
    return { error, status: 405, header: { allow: methodsOf(rpc).join(", ") } };
  }
  const supported = rpc.spec.kind === "unary" ? unaryTypes : streamTypes;
  const knowsType = isGet
    ? ["json", "proto"].includes(queryOf(head).get("encoding") ?? "")
    : supported.includes(mediaType(head)) && !hasForeignCharset(head);
  if (knowsType) return undefined;
  const text = isGet
    ? "set the query parameter encoding to json or proto"
    : `set the header Content-Type to one of: ${supported.join(", ")}`;
  const error = new ConnectError(text, Code.InvalidArgument);
  return { error, status: 415, header: { "accept-post": supported.join(", ") } };
}
