import { type ServerResponse, STATUS_CODES } from "node:http";
import type { ListenerResponse } from "./handler.ts";
import { nameAnswer } from "./request-id.ts";

/** An HTTP answer whose body is `google.rpc.Status` in JSON. */
export interface StatusAnswer {
  httpStatus: number;
  /** The canonical status code (`google.rpc.Code`), 1 to 16. */
  code: number;
  /** A sentence for people. It goes to the client as it is. */
  message: string;
}

/** Refusals that both HTTP versions make alike. */
export const notSupported = {
  connect: { httpStatus: 501, code: 12, message: "CONNECT is not supported." },
  expectation: { httpStatus: 417, code: 3, message: "The only expectation supported is 100-continue." },
} satisfies Record<string, StatusAnswer>;

const contentType = "application/json; charset=utf-8";

function statusJson(answer: StatusAnswer): string {
  return JSON.stringify({ code: answer.code, message: answer.message, details: [] });
}

/** Answers a request with a Status body, and with the id of the request. Headers set before (CORS, `allow`) stay. */
export function sendStatusAnswer(res: ListenerResponse, answer: StatusAnswer): void {
  const body = statusJson(answer);
  nameAnswer(res.req, res);
  res.statusCode = answer.httpStatus;
  res.setHeader("content-type", contentType);
  res.setHeader("content-length", String(Buffer.byteLength(body)));
  // Node has already ended the writable side of an HTTP/2 HEAD stream; a body would be a write after the end.
  const isHead = res.req.method === "HEAD";
  // Both versions' classes have this call; TypeScript sees no signature common to the two.
  (res as ServerResponse).end(isHead ? undefined : body);
}

/** The bytes of a whole HTTP/1.1 answer, for a socket on which no request could be made out. It ends the connection. */
export function rawHttp1Answer(answer: StatusAnswer): string {
  const body = statusJson(answer);
  return [
    `HTTP/1.1 ${answer.httpStatus} ${STATUS_CODES[answer.httpStatus] ?? ""}`,
    `date: ${new Date().toUTCString()}`,
    `content-type: ${contentType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}
