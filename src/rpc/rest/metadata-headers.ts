import type { IncomingHttpHeaders } from "node:http";
import { violation } from "../call/violation.ts";
import { transportHeaders } from "../http/headers.ts";
import type { HttpRefusal } from "../http/status.ts";

const prefix = "grpc-metadata-";

/** What HTTP, browsers, the dispatch and the protocols read for themselves: they read the field without the prefix. */
const isOfHttp = (name: string): boolean =>
  transportHeaders.has(name) ||
  /^(?:|host|expect|origin|cookie|accept|accept-encoding|if-none-match|x-server-timeout|x-request-id)$/.test(name) ||
  /^(?:grpc|connect|access-control)-/.test(name);

/**
 * The headers that a call sees, where `Grpc-Metadata-X` is another name of `X`, as it is to grpc-gateway. A name that HTTP
 * reads for itself (`Grpc-Metadata-Content-Length`) stays what it is. A refusal where both names were sent with different values:
 * one of them would be lost in silence.
 */
export function readMetadataHeaders(
  headers: IncomingHttpHeaders,
): { readonly headers: IncomingHttpHeaders } | { readonly refusal: HttpRefusal } {
  let changed: IncomingHttpHeaders | undefined;
  for (const name of Object.keys(headers)) {
    const bare = name.slice(prefix.length);
    if (!name.startsWith(prefix) || isOfHttp(bare)) continue;
    if (Object.hasOwn(headers, bare) && headers[bare] !== headers[name]) return { refusal: conflict(name, bare) };
    changed ??= { ...headers };
    changed[bare] = headers[name];
    delete changed[name];
  }
  return { headers: changed ?? headers };
}

function conflict(field: string, bare: string): HttpRefusal {
  const description = `it and ${bare} have different values: send one of them`;
  return { error: violation(`invalid header ${field}: ${description}`, { field, description }), status: 400 };
}
