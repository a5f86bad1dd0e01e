import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import type { ListenerRequest } from "@portcullis/rpc";

/** The forms have a few hundred bytes. The limit of oidc-provider is 56 KiB. */
const maxBodyBytes = 32 * 1024;

/**
 * Reads the whole body. Resolves to undefined if it is too large. Rejects if the client disconnects, or after the timeout,
 * which cuts it off.
 */
export async function readForm(request: ListenerRequest, timeoutMs: number): Promise<Buffer | undefined> {
  const timer = setTimeout(() => request.destroy(), timeoutMs);
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Keeps the connection open for the answer if the loop ends early.
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
 * The request for oidc-provider: with a body that it can read again, and sent to the issuer's own address. oidc-provider
 * builds URLs from the host and scheme of the request, which a client or proxy can choose.
 */
export function toIssuerRequest(
  request: ListenerRequest,
  wanted: {
    readonly url: string;
    readonly body: Buffer;
    readonly target: string;
    /** The address of the client, which may be behind a proxy. */
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
