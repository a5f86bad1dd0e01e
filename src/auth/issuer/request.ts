import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { ListenerRequest } from "@portcullis/rpc";

/** What is posted here is a form of a few hundred bytes; oidc-provider itself stops at 56 KiB. */
const maxBodyBytes = 32 * 1024;

/**
 * Reads the whole body. Resolves to undefined where it is too large; rejects where the client went away, or is cut off
 * because the body did not come in time.
 */
export async function readForm(request: ListenerRequest, timeoutMs: number): Promise<Buffer | undefined> {
  const timer = setTimeout(() => request.destroy(), timeoutMs);
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // To stop early must not end the connection: the answer goes out on it.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBodyBytes) return undefined;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The request as oidc-provider should see it: one whose body may be read again, sent to the issuer's own address. The name
 * and scheme in the request are the client's or a proxy's word, and every URL that oidc-provider writes would follow them.
 */
export function toIssuerRequest(
  request: ListenerRequest,
  wanted: {
    readonly url: string;
    readonly body: Buffer;
    readonly target: string;
    /** The client's, which may be behind a proxy. */
    readonly address: string;
  },
): IncomingMessage {
  const { protocol, host } = new URL(wanted.url);
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(":")));
  delete headers["transfer-encoding"];
  if (wanted.body.length > 0) headers["content-length"] = String(wanted.body.length);
  else delete headers["content-length"];
  return Object.assign(Readable.from(wanted.body.length > 0 ? [wanted.body] : [], { objectMode: false }), {
    method: request.method,
    url: wanted.target,
    headers: { ...headers, host },
    httpVersion: request.httpVersion,
    httpVersionMajor: request.httpVersionMajor,
    httpVersionMinor: request.httpVersionMinor,
    socket: { encrypted: protocol === "https:", remoteAddress: wanted.address },
  }) as unknown as IncomingMessage;
}
