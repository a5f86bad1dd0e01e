import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { Codec } from "../codec.ts";
import { mediaType, send } from "../http.ts";
import type { ServeStock } from "../stock.ts";

const supported = ["application/json", "application/proto", "application/connect+json", "application/connect+proto"];

/** The Connect protocol, over any HTTP version. */
export function createConnectCodec(serveStock: ServeStock): Codec {
  const refuse: Codec["refuse"] = (response, { error, status, header }) => {
    send(response, {
      status,
      header: { ...header, "content-type": "application/json" },
      body: errorToJsonBytes(error, undefined),
    });
  };
  return {
    refuse,
    // Connect's handlers answer a wrong verb or content type with a bare status; ours say what is wanted.
    async serve(exchange) {
      const { rpc, request, response } = exchange;
      const isGet =
        request.method === "GET" && rpc.spec.method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
      if (request.method !== "POST" && !isGet) {
        refuse(response, {
          error: new ConnectError(`${rpc.path} is called with POST`, Code.Unimplemented),
          status: 405,
          header: { allow: "POST" },
        });
      } else if (!isGet && !supported.includes(mediaType(request))) {
        refuse(response, {
          error: new ConnectError(
            `set the header Content-Type to one of: ${supported.join(", ")}`,
            Code.InvalidArgument,
          ),
          status: 415,
          header: { "accept-post": supported.join(", ") },
        });
      } else {
        await serveStock(exchange);
      }
    },
  };
}
