import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { Code, type ConnectError } from "@connectrpc/connect";
import type { ListenerRequest, ListenerResponse } from "./listener/handler.ts";

export type HttpRequest = ListenerRequest;
export type HttpResponse = ListenerResponse;

/** The path of the raw request target, without its query; still percent-encoded, exactly as it came over the socket. */
export function rawPath(request: HttpRequest): string {
  const target = request.url ?? "";
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}

/** Whether the request says, in a form that is one, which host it is for. Connect's handlers cannot do without. */
export function hasAuthority(request: HttpRequest): boolean {
  const authority = request.headers[":authority"] ?? request.headers.host;
  return typeof authority === "string" && URL.canParse(`http://${authority}`);
}

/** The media type of the request in lower case, without parameters; empty where none was sent. */
export function mediaType(request: HttpRequest): string {
  const value = request.headers["content-type"] ?? "";
  const parameters = value.indexOf(";");
  return (parameters === -1 ? value : value.slice(0, parameters)).trim().toLowerCase();
}

/** Sends a complete answer. Does nothing where the client is gone or an answer has begun. */
export function send(
  response: HttpResponse,
  answer: { readonly status: number; readonly header: OutgoingHttpHeaders; readonly body?: Uint8Array },
): void {
  if (response.headersSent || response.destroyed) return;
  const { status, header, body } = answer;
  // Both response types have this call; TypeScript sees no signature common to the two.
  (response as ServerResponse).writeHead(
    status,
    body === undefined ? header : { ...header, "content-length": body.length },
  );
  (response as ServerResponse).end(body);
}

const httpStatuses: Readonly<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.Unknown]: 500,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 400,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Internal]: 500,
  [Code.Unavailable]: 503,
  [Code.DataLoss]: 500,
  [Code.Unauthenticated]: 401,
};

/** The HTTP status of an error code, as google.rpc.Code documents it. */
export const httpStatus = (code: Code): number => httpStatuses[code] ?? 500;

/** A refusal made by HTTP itself rather than by an RPC: its status is not the one that the code stands for. */
export interface HttpRefusal {
  readonly error: ConnectError;
  readonly status: number;
  readonly header?: OutgoingHttpHeaders;
}
