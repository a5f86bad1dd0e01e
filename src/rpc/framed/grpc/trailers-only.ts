import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { send } from "../../http/response.ts";
import type { HttpRefusal } from "../../http/status.ts";
import type { ListenerResponse } from "../../listener/handler.ts";
import { normalizeMessage } from "./status-message.ts";

/**
 * Answers with the status alone, in the headers and with HTTP status 200: where there is no message, clients of gRPC and of
 * gRPC-Web read it there and nowhere else.
 */
export function sendTrailersOnly(
  response: ListenerResponse,
  refusal: Pick<HttpRefusal, "error" | "header"> & { readonly contentType: string },
): void {
  const trailer = new Headers();
  setTrailerStatus(trailer, refusal.error);
  normalizeMessage(trailer);
  send(response, {
    status: 200,
    header: { ...refusal.header, "content-type": refusal.contentType, ...Object.fromEntries(trailer) },
  });
}
