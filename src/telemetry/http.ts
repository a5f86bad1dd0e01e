import { type ListenerRequest, type ListenerResponse, nameAnswer, onClose } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import type { createClientAddress } from "./client-address.ts";
import type { Metrics } from "./metrics.ts";

/**
 * Told of a request that is for no RPC, before it is served; `route` is its path without what differs from one to the next. It counts
 * the answer, and at the level `debug` has a line for it, with nothing of the body or the query.
 */
export type ObserveHttp = (request: ListenerRequest, response: ListenerResponse, route: string) => void;

export function createObserveHttp(options: {
  readonly metrics: Pick<Metrics, "onHttpAnswer">;
  readonly log: Log;
  readonly clientAddress: ReturnType<typeof createClientAddress>;
}): ObserveHttp {
  const { metrics, log, clientAddress } = options;
  return (request, response, route) => {
    const started = performance.now();
    // Later the socket may be closed, and forget it.
    const client = clientAddress({ socket: request.socket, headers: request.headers });
    const method = knownMethods.has(request.method ?? "") ? (request.method as string) : "other";
    onClose(request, response, () => {
      const ms = Math.round((performance.now() - started) * 1000) / 1000;
      const status = response.headersSent ? String(response.statusCode) : "none";
      metrics.onHttpAnswer({ route, method, status, ms });
      if (!log.isLevelEnabled("debug")) return;
      const requestId = nameAnswer(request, response);
      log.debug({ requestId, client, method, route, status, ms }, "request");
    });
  };
}

/** What a client makes up must not become a label. */
const knownMethods: ReadonlySet<string> = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]);
