import { Code, ConnectError } from "@connectrpc/connect";
import { mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import type { CallContext } from "../../call/context.ts";
import type { Exchange } from "../../call/exchange.ts";
import { readBody } from "../../http/body.ts";
import { toNodeHeaders } from "../../http/headers.ts";
import { mediaType, type RequestHead, rawQuery } from "../../http/request.ts";
import { httpStatus } from "../../http/status.ts";
import type { FramedOptions } from "../options.ts";
import type { UnaryProtocol } from "../unary.ts";

/** Unary calls of the Connect protocol: POST, and GET for what has no side effects. */
export function createConnectUnary({ jsonOptions }: Pick<FramedOptions, "jsonOptions">): UnaryProtocol {
  return {
    name: "connect",
    isJson: (head) =>
      head.method === "GET" ? queryOf(head).get("encoding") === "json" : mediaType(head) === "application/json",
    timeHeader: "connect-timeout-ms",
    encodings: (head) => ({
      sent: encodingOf(head),
      accepted: (head.headers["accept-encoding"] as string | undefined) ?? null,
    }),
    acceptEncodingHeader: "accept-encoding",
    read: async (exchange, maxBytes) =>
      exchange.head.method === "GET" ? readQuery(exchange.head, maxBytes) : readPost(exchange, maxBytes),
    open: (sent, head) => ({ bytes: sent, isCompressed: sent.length > 0 && isEncoded(encodingOf(head)) }),
    send({ reply }, { context, bytes, isJson, encoding }) {
      reply.send({
        status: 200,
        header: {
          ...callHeaders(context),
          "content-type": isJson ? "application/json" : "application/proto",
          ...(encoding && { "content-encoding": encoding }),
        },
        body: bytes,
      });
    },
    sendError({ reply }, { context, error }) {
      // What another server sent is its own.
      if (!error.isWireError) mergeNonProtocolHeaders(context.responseHeader, error.metadata);
      reply.send({
        status: httpStatus(error.code),
        header: { ...callHeaders(context), "content-type": "application/json" },
        body: errorToJsonBytes(error, jsonOptions),
      });
    },
  };
}

/** Headers, and the trailers as headers of another name: the protocol has no other place for them. */
function callHeaders({ responseHeader, responseTrailer }: CallContext) {
  for (const [name, value] of responseTrailer) responseHeader.append(`trailer-${name}`, value);
  return toNodeHeaders(responseHeader);
}

function readPost({ head, source }: Exchange, maxBytes: number): Promise<Buffer> {
  checkLength(Number(head.headers["content-length"] ?? 0), maxBytes);
  return readBody(source, (length) => checkLength(length, maxBytes));
}

function readQuery(head: RequestHead, maxBytes: number): Buffer {
  const query = queryOf(head);
  const message = query.get("message") ?? "";
  const isBase64 = query.get("base64") === "1";
  if (isBase64 && !/^[A-Za-z0-9_-]*={0,2}$/.test(message)) {
    throw new ConnectError("the query parameter message must be in URL-safe base64", Code.InvalidArgument);
  }
  const bytes = Buffer.from(message, isBase64 ? "base64url" : "utf8");
  checkLength(bytes.length, maxBytes);
  return bytes;
}

const encodingOf = (head: RequestHead): string | null =>
  head.method === "GET" ? queryOf(head).get("compression") : ((head.headers["content-encoding"] as string) ?? null);

const isEncoded = (encoding: string | null): boolean => encoding !== null && encoding !== "" && encoding !== "identity";

function checkLength(length: number, maxBytes: number): void {
  if (length > maxBytes) throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

/** The parameters of a call by GET. */
export const queryOf = (head: RequestHead): URLSearchParams => new URLSearchParams(rawQuery(head));
