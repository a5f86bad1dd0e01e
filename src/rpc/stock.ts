import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import { type ContextValues, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { applyPathBinding, type CallOptions } from "./call.ts";
import type { HttpRequest, HttpResponse } from "./http.ts";
import type { Rpc, RpcTable } from "./router.ts";

export interface StockOptions extends CallOptions {
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
}

/** One request and the RPC it is for, to be served by Connect's own handlers. */
export interface StockCall {
  readonly rpc: Rpc;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly contextValues: ContextValues;
  /** Wraps the framing of the request, where it is a form that Connect does not know. */
  readonly decodeRequest?: (request: UniversalServerRequest) => UniversalServerRequest;
  readonly encodeResponse?: (response: UniversalServerResponse) => UniversalServerResponse;
}

/** Serves gRPC, gRPC-Web and Connect by Connect's own handlers; the content type tells which. */
export type ServeStock = (call: StockCall) => Promise<void>;

/** Builds Connect's handlers for every RPC of the table. */
export function createStock(rpcs: RpcTable, options: StockOptions): ServeStock {
  const router = createConnectRouter({
    interceptors: [applyPathBinding, ...options.interceptors],
    requestGate: options.gate,
    readMaxBytes: options.maxRequestBytes,
    jsonOptions: options.jsonOptions,
    acceptCompression: [compressionGzip, compressionBrotli],
  });
  for (const { spec } of rpcs.values()) router.rpc(spec.method, spec.impl as never);
  const handlers = new Map<string, UniversalHandler>(router.handlers.map((handler) => [handler.requestPath, handler]));

  return async ({ rpc, request, response, contextValues, decodeRequest, encodeResponse }) => {
    const handle = handlers.get(rpc.path);
    if (handle === undefined) throw new Error(`no handler for ${rpc.path}`);
    const received = universalRequestFromNodeRequest(request, response as never, undefined, contextValues);
    const answer = await handle(decodeRequest?.(received) ?? received);
    await universalResponseToNodeResponse(encodeResponse?.(answer) ?? answer, response);
  };
}
