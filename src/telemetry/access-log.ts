import { type Observe, type RequestHead, rawPath, requestIdOf } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import type { createClientAddress } from "./client-address.ts";
import { nameOf } from "./metrics.ts";
import { traceOf } from "./trace-ids.ts";

/** Logs a line for each request: no body, and of the headers only the request id. A request that reached no RPC is logged with its path. */
export function createAccessLog(log: Log, clientAddress: ReturnType<typeof createClientAddress>): Observe {
  return ({ protocol, method, head, contextValues, socket }) => {
    const started = performance.now();
    // A closed socket no longer knows its address.
    const client = clientAddress({ socket: socket ?? {}, headers: head.headers });
    return (outcome) => {
      const requestId = requestIdOf(contextValues);
      const call = method === undefined ? unserved(head) : `${method.parent.typeName}/${method.name}`;
      const ms = Math.round((performance.now() - started) * 1000) / 1000;
      log.debug({ requestId, ...traceOf(contextValues), client, protocol, call, code: nameOf(outcome), ms }, "call");
    };
  };
}

/** Method and path of an unknown request: without the query, short, and printable, since any client can send any bytes. */
const unserved = (head: RequestHead): string =>
  `${head.method} ${rawPath(head)}`.slice(0, 256).replace(/[^\x20-\x7e]/g, "?");
