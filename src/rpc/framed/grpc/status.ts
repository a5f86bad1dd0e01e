import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Reply } from "../../http/reply.ts";
import type { HttpRefusal } from "../../http/status.ts";
import type { UniversalServerResponse } from "../universal.ts";

/**
 * Puts `grpc-message` into the form that the gRPC specification describes: only what is not printable ASCII, and the
 * percent sign, is escaped. Connect escapes more, as URIs do, and @grpc/grpc-js leaves some of those escapes as they are: a
 * colon would reach its callers as `%3A`.
 */
export function normalizeMessage(trailer: Headers): void {
  const escaped = trailer.get("grpc-message");
  if (escaped !== null) trailer.set("grpc-message", escapeMessage(decodeURIComponent(escaped)));
}

/** The same for an answer, whose trailers are complete when its body has ended. */
export function withNormalMessage(response: UniversalServerResponse): UniversalServerResponse {
  const { body, trailer } = response;
  if (trailer === undefined) return response;
  async function* normalizeAtEnd(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    yield* chunks;
    normalizeMessage(trailer as Headers);
  }
  if (body === undefined) normalizeMessage(trailer);
  return { ...response, ...(body && { body: normalizeAtEnd(body) }) };
}

/**
 * Answers with the status alone, in the headers and with HTTP status 200: where there is no message, clients of gRPC and of
 * gRPC-Web read it there and nowhere else.
 */
export function sendTrailersOnly(reply: Reply, { error, header }: HttpRefusal, contentType: string): void {
  const trailer = new Headers();
  setTrailerStatus(trailer, error);
  normalizeMessage(trailer);
  reply.send({ status: 200, header: { ...header, "content-type": contentType, ...Object.fromEntries(trailer) } });
}

function escapeMessage(text: string): string {
  return [...Buffer.from(text)]
    .map((byte, at, { length }) => {
      // A space at either end would not be part of a header field.
      const isAtEnd = at === 0 || at === length - 1;
      const isPlain = byte >= (isAtEnd ? 0x21 : 0x20) && byte <= 0x7e && byte !== 0x25;
      return isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    })
    .join("");
}
