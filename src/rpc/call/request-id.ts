import { randomFillSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { type ContextValues, createContextKey } from "@connectrpc/connect";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";

export const requestIdHeader = "x-request-id";

const requestIdKey = createContextKey<string | undefined>(undefined, { description: "request id" });

/** The id by which logs, traces, error texts and the header `x-request-id` of the answer name a call; "" outside of a dispatch. */
export const requestIdOf = (values: ContextValues): string => values.get(requestIdKey) ?? "";

/** For the dispatch, before anybody else sees the call. */
export function setRequestId(values: ContextValues, id: string): void {
  values.set(requestIdKey, id);
}

/**
 * The id for a request: that of its header `x-request-id`, which a proxy before us may have set, or else a new one. Letters, digits
 * and `_.:/+=@-` are taken, at most 128 of them.
 */
export function readRequestId(headers: IncomingHttpHeaders): string {
  const given = headers[requestIdHeader];
  if (given === undefined) return newId();
  // A token that was sent there by mistake must not end up in logs.
  return typeof given === "string" && /^(?!portcullis_|eyJ)[\w.:/+=@-]{1,128}$/.test(given) ? given : newId();
}

/** Gives an answer the id of its request, and returns it. Asked again, it returns the same. */
export function nameAnswer(request: ListenerRequest, response: ListenerResponse): string {
  const known = response.getHeader(requestIdHeader);
  if (typeof known === "string") return known;
  const id = readRequestId(request.headers);
  // Nobody is there to read it where the headers went out, or the stream was reset.
  if (!response.headersSent) response.setHeader(requestIdHeader, id);
  return id;
}

const idBytes = 12;
/** Taken a thousand at a time: every call needs an id, and a UUID of its own costs more time and more bytes of its answer. */
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
