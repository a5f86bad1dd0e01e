import { create, type Registry, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, createHandlerContext } from "@connectrpc/connect";
import { type CallOptions, callUnary } from "../call.ts";
import type { Codec, RpcExchange } from "../codec.ts";
import { onClose, send } from "../http.ts";
import { readJsonMessage } from "./body.ts";
import { bindPath } from "./path-binding.ts";
import type { Route } from "./route-table.ts";
import { HttpRefusalError, sendStatus } from "./status.ts";

export interface RestExchange extends RpcExchange {
  readonly route: Route;
  /** The path's values, percent-decoded, in the order of the route's variables. */
  readonly pathValues: readonly string[];
}

/** What the REST codec shares between its requests. */
export interface RestOptions extends CallOptions {
  /** The message types that `google.protobuf.Any` may hold, in requests and answers. */
  readonly registry: Registry;
  /** Told of a failure that is a bug and that nobody else reports. The caller is answered with `internal`. */
  onFailure(reason: unknown): void;
}

/** REST JSON as google.api.http rules describe it: a request becomes the same in-process call as in any other protocol. */
export interface RestCodec extends Pick<Codec, "refuse"> {
  serve(exchange: RestExchange): Promise<void>;
}

export function createRestCodec(options: RestOptions): RestCodec {
  const { registry, maxRequestBytes } = options;
  return {
    refuse: (response, { error, status, header }) => {
      sendStatus(response, new HttpRefusalError({ error, status, ...(header && { header }) }), { registry });
    },

    async serve({ route, pathValues, request, response, contextValues }) {
      const { spec } = route.rpc;
      const gone = new AbortController();
      onClose(request, response, () => {
        if (!response.writableEnded) gone.abort(new ConnectError("the client is gone", Code.Canceled));
      });
      const context = createHandlerContext({
        service: spec.method.parent,
        method: spec.method,
        protocolName: "rest",
        requestMethod: route.verb,
        url: request.url ?? "",
        requestHeader: toHeaders(request.headers),
        requestSignal: gone.signal,
        contextValues,
      });
      try {
        const output = await callUnary(
          {
            spec,
            context,
            async readMessage() {
              const message = route.hasBody
                ? await readJsonMessage(request, { desc: spec.method.input, maxBytes: maxRequestBytes, registry })
                : create(spec.method.input);
              bindPath(route, pathValues)(message);
              return message;
            },
          },
          options,
        );
        const json = toJsonString(spec.method.output, output, { registry, alwaysEmitImplicit: true });
        send(response, {
          status: 200,
          header: {
            "cache-control": "no-store",
            ...Object.fromEntries(context.responseHeader),
            "content-type": "application/json",
          },
          body: Buffer.from(json),
        });
      } catch (reason) {
        // Interceptors and gate have mapped what is expected: the rest comes from an answer that cannot be encoded.
        if (!(reason instanceof ConnectError || reason instanceof HttpRefusalError)) options.onFailure(reason);
        sendStatus(response, reason, { registry, header: context.responseHeader });
      } finally {
        context.abort();
      }
    },
  };
}

function toHeaders(raw: RestExchange["request"]["headers"]): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(raw)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) headers.append(name, one);
  }
  return headers;
}
