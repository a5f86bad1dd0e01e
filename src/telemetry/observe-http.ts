import { type ListenerRequest, type ListenerResponse, nameAnswer, onClose } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import type { createClientAddress } from "./client-address.ts";
import type { Metrics } from "./metrics.ts";

/**
 * Observes a request that is no RPC; call it before the request is served. `route` is the label of its path. It counts the answer and, at
 * the log level `debug`, logs a line without body or query.
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
    // A closed socket no longer knows its address.
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

/** Only these become labels: clients can invent others. */
const knownMethods: ReadonlySet<string> = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]);
