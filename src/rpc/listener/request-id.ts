import { randomFillSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { ListenerRequest, ListenerResponse } from "./handler.ts";

export const requestIdHeader = "x-request-id";

/**
 * The id of a request: the one in its header `x-request-id`, which a proxy in front may have set, or a new one. An id has up to
 * 128 letters, digits and `_.:/+=@-`, and does not look like a secret.
 */
export function readRequestId(headers: IncomingHttpHeaders): string {
  const given = headers[requestIdHeader];
  if (typeof given !== "string" || !/^[\w.:/+=@-]{1,128}$/.test(given)) return newId();
  return looksSecret(given) ? newId() : given;
}

/** 32 characters of base64 hold 192 bits: as much as a secret has. Common ids have fewer, or letters of one case. */
const runs = /[\w+/-]{32,}/g;

/** Whether a text may be a token that was sent here by mistake: ids end up in logs. */
const looksSecret = (text: string): boolean =>
  (text.match(runs) ?? []).some((run) => /[a-z]/.test(run) && /[A-Z]/.test(run));

/** Gives an answer the id of its request, and returns it. Asked again, it returns the same. */
export function nameAnswer(request: ListenerRequest, response: ListenerResponse): string {
  const known = response.getHeader(requestIdHeader);
  if (typeof known === "string") return known;
  const id = readRequestId(request.headers);
  // Headers that were sent, or a stream that was reset, take no more.
  if (!response.headersSent) response.setHeader(requestIdHeader, id);
  return id;
}

const idBytes = 12;
/** Filled for a thousand ids at a time: every call needs one, and a UUID costs more time and more bytes of its answer. */
const random = Buffer.alloc(idBytes * 1024);
let used = random.length;

function newId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  used += idBytes;
  return random.toString("hex", used - idBytes, used);
}
