import { type Observe, type RequestHead, rawPath, requestIdOf } from "@portcullis/rpc";
import type { Log } from "../process/log.ts";
import type { createClientAddress } from "./client-address.ts";
import { nameOf } from "./metrics.ts";
import { traceOf } from "./trace-ids.ts";

/** A line for each request, with nothing of its body and of its headers only the id. Where it reached no RPC, its path tells why. */
export function createAccessLog(log: Log, clientAddress: ReturnType<typeof createClientAddress>): Observe {
  return ({ protocol, method, head, contextValues, socket }) => {
    const started = performance.now();
    // Later the socket may be closed, and forget it.
    const client = clientAddress({ socket: socket ?? {}, headers: head.headers });
    return (outcome) => {
      const requestId = requestIdOf(contextValues);
      const call = method === undefined ? unserved(head) : `${method.parent.typeName}/${method.name}`;
      const ms = Math.round((performance.now() - started) * 1000) / 1000;
      log.debug({ requestId, ...traceOf(contextValues), client, protocol, call, code: nameOf(outcome), ms }, "call");
    };
  };
}

/** What anybody made up: without its query, and no more of it than finds a mistake. Over HTTP/2 it may hold any bytes. */
const unserved = (head: RequestHead): string =>
  `${head.method} ${rawPath(head)}`.slice(0, 256).replace(/[^\x20-\x7e]/g, "?");
