import { isLoopback } from "../../domain/loopback.ts";
import { IssuerError } from "./issuer-error.ts";

const timeoutMs = 5000;

interface FetchOptions {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: URLSearchParams | undefined;
}

/**
 * A fetch for one issuer: over TLS, or in plaintext if the issuer is on a loopback address. It follows no redirect, waits 5 s
 * for an answer, and reads at most `maxBytes`.
 */
export function createIssuerFetch(options: {
  readonly issuer: string;
  readonly maxBytes: number;
}): (url: string, request: FetchOptions) => Promise<Response> {
  const { issuer, maxBytes } = options;
  const plainTextAllowed = isLocalPlainText(new URL(issuer));

  return async (text, { method, headers, body }) => {
    const url = new URL(text);
    if (url.protocol !== "https:" && !(plainTextAllowed && isLocalPlainText(url))) {
      throw new IssuerError("one of its addresses is not https");
    }
    if (url.username !== "" || url.password !== "") throw new IssuerError("one of its addresses contains a password");
    const response = await fetch(url, {
      method,
      headers,
      ...(body && { body }),
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const bytes = await readBytes(response, maxBytes);
    return new Response(bytes.length === 0 ? null : bytes, { status: response.status, headers: response.headers });
  };
}

const isLocalPlainText = ({ protocol, hostname }: URL): boolean => protocol === "http:" && isLoopback(hostname);

/** Counts decompressed bytes, so that a small compressed answer cannot grow beyond the limit. */
async function readBytes(response: Response, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    // The throw ends the loop, which cancels the body.
    if (size > maxBytes) throw new IssuerError(`its answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
