import type { Codec } from "../codec.ts";
import type { RequestHead } from "../http/request.ts";
import type { FramedOptions } from "./options.ts";
import type { Reframing, ServeStream } from "./stream.ts";
import { createUnary, type UnaryProtocol } from "./unary.ts";

/** What the codecs of gRPC, gRPC-Web and Connect share. */
export interface CodecOptions extends FramedOptions {
  readonly serveStream: ServeStream;
  /** Whether unary calls too are served as streams are. */
  readonly stockHandlers?: boolean;
}

/** Serves unary calls directly, and streams by Connect's handlers. */
export function createFramed(
  protocol: UnaryProtocol,
  options: CodecOptions,
  reframe: (head: RequestHead) => Reframing = () => ({}),
): Pick<Codec, "serve" | "serveUnary"> {
  const serveUnary = options.stockHandlers ? undefined : createUnary(protocol, options);
  return {
    ...(serveUnary && { serveUnary }),
    serve(exchange, target) {
      const { kind } = target.rpc.spec;
      if (serveUnary !== undefined && kind === "unary") return serveUnary(exchange, target);
      // Without it, nginx holds messages back. It never buffers gRPC.
      if (kind !== "unary" && protocol.name !== "grpc") exchange.response.setHeader("x-accel-buffering", "no");
      return options.serveStream(exchange, target, reframe(exchange.head));
    },
  };
}
