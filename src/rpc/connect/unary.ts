import { Code, ConnectError } from "@connectrpc/connect";
import { mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import { errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { readBody } from "../body.ts";
import type { CallContext } from "../context.ts";
import type { Sent } from "../envelope.ts";
import type { RpcExchange } from "../exchange.ts";
import { type HttpRequest, httpStatus, mediaType, rawQuery, send, toNodeHeaders } from "../http.ts";
import type { UnaryOptions, UnaryProtocol } from "../unary.ts";

/** Unary calls of the Connect protocol: POST, and GET for what has no side effects. */
export function createConnectUnary({ jsonOptions }: Pick<UnaryOptions, "jsonOptions">): UnaryProtocol {
  return {
    name: "connect",
    isJson: (request) =>
      request.method === "GET"
        ? queryOf(request).get("encoding") === "json"
        : mediaType(request) === "application/json",
    timeHeader: "connect-timeout-ms",
    encodings: (request) => ({
      sent:
        request.method === "GET"
          ? queryOf(request).get("compression")
          : ((request.headers["content-encoding"] as string | undefined) ?? null),
      accepted: (request.headers["accept-encoding"] as string | undefined) ?? null,
    }),
    acceptEncodingHeader: "accept-encoding",
    readMessage: (request, maxBytes) =>
      request.method === "GET" ? readQuery(request, maxBytes) : readPost(request, maxBytes),
    send(exchange, { context, bytes, isJson, encoding }) {
      send(exchange.response, {
        status: 200,
        header: {
          ...callHeaders(context),
          "content-type": isJson ? "application/json" : "application/proto",
          ...(encoding && { "content-encoding": encoding }),
        },
        body: bytes,
      });
    },
    sendError({ response }: RpcExchange, { context, error }) {
      mergeNonProtocolHeaders(context.responseHeader, error.metadata);
      send(response, {
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

async function readPost(request: HttpRequest, maxBytes: number): Promise<Sent> {
  checkLength(Number(request.headers["content-length"] ?? 0), maxBytes);
  const bytes = await readBody(request, (length) => checkLength(length, maxBytes));
  const { "content-encoding": encoding = "identity" } = request.headers;
  return { bytes, isCompressed: encoding !== "identity" && bytes.length > 0 };
}

function readQuery(request: HttpRequest, maxBytes: number): Sent {
  const query = queryOf(request);
  const message = query.get("message") ?? "";
  const isBase64 = query.get("base64") === "1";
  if (isBase64 && !/^[A-Za-z0-9_-]*={0,2}$/.test(message)) {
    throw new ConnectError("the query parameter message must be in URL-safe base64", Code.InvalidArgument);
  }
  const bytes = Buffer.from(message, isBase64 ? "base64url" : "utf8");
  checkLength(bytes.length, maxBytes);
  const encoding = query.get("compression") ?? "identity";
  return { bytes, isCompressed: encoding !== "identity" && encoding !== "" && bytes.length > 0 };
}

function checkLength(length: number, maxBytes: number): void {
  if (length > maxBytes) throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

const queryOf = (request: HttpRequest): URLSearchParams => new URLSearchParams(rawQuery(request));
