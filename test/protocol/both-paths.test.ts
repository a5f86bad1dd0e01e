// The direct path (src/rpc/framed/unary.ts) answers as Connect's own handlers do. Every request here goes to two servers, byte for
// byte the same, and the answers must agree, but for the differences in the one table below. Each form of a call goes through a
// third of the cases, and through all of them in `npm run test:all`, where a difference that no case shows any more fails the
// last test.
import { brotliCompressSync, brotliDecompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { create, type DescMethodUnary, type JsonObject, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import { errorFromJson } from "@connectrpc/connect/protocol-connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import type { Gate } from "../../src/rpc/call/admit.ts";
import type { Outcome } from "../../src/rpc/call/outcome.ts";
import { type EchoOptions, type EchoServer, startEcho } from "../fixtures/echo.ts";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { isWhole, sample, sampleNote } from "../fixtures/sample.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { type Exchange, exchange, frame, framesOf, fromText, outcomeOf, type Reply } from "../fixtures/wire.ts";
import { management } from "./case.ts";

const { typed, say, bare, wait, missing } = EchoService.method;
const rpcPath = ({ parent, name }: DescMethodUnary): string => `/${parent.typeName}/${name}`;

type Framing = "grpc" | "web" | "text" | "post" | "get";

/** One way to send a unary call. */
interface Form {
  readonly form: string;
  readonly version: 1 | 2;
  readonly framing: Framing;
  readonly type: string;
}

const isEnveloped = ({ framing }: Form): boolean => framing !== "post" && framing !== "get";
const isJson = ({ type }: Form): boolean => type.endsWith("json");

const forms: readonly Form[] = (
  [
    ["grpc", 2, "application/grpc"],
    ["grpc", 2, "application/grpc+json"],
    ["web", 1, "application/grpc-web"],
    ["web", 2, "application/grpc-web+proto"],
    ["web", 1, "application/grpc-web+json"],
    ["text", 1, "application/grpc-web-text"],
    ["text", 2, "application/grpc-web-text+proto"],
    ["post", 1, "application/proto"],
    ["post", 2, "application/proto"],
    ["post", 1, "application/json"],
    ["post", 2, "application/json"],
    ["get", 1, "application/proto"],
    ["get", 2, "application/proto"],
    ["get", 1, "application/json"],
    ["get", 2, "application/json"],
  ] as const
).map(([framing, version, type]) => ({
  form: `${framing === "get" ? "GET " : ""}${type} over HTTP/${version}`,
  version,
  framing,
  type,
}));
/** Of three forms in a row, each goes through another third of the cases. */
const sampleFor = <Case>(form: Form, cases: readonly Case[]): Case[] =>
  sample(cases, { each: 3, offset: forms.indexOf(form) });
const enveloped = forms.filter(isEnveloped);
const posts = forms.filter(({ framing }) => framing === "post");
const gets = forms.filter(({ framing }) => framing === "get");

type Headers1 = Readonly<Record<string, string | readonly string[]>>;

/** What is sent, said without a protocol. */
interface Sending {
  readonly method?: DescMethodUnary;
  readonly message?: object;
  /** Instead of the message. */
  readonly bytes?: Uint8Array;
  readonly encoding?: keyof typeof compressors | "identity";
  /** What the caller takes for an answer. */
  readonly accept?: string;
  readonly timeoutMs?: number;
  readonly headers?: Headers1;
  readonly path?: string;
}

const compressors = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync };
const decompressors = { gzip: gunzipSync, br: brotliDecompressSync, deflate: inflateSync };

const compressed = (bytes: Uint8Array, encoding: keyof typeof compressors | "identity"): Uint8Array =>
  encoding === "identity" ? bytes : compressors[encoding](bytes);

function requestOf(form: Form, sending: Sending): Exchange {
  const { method = typed, message = {}, encoding, accept, timeoutMs, headers, path = rpcPath(method) } = sending;
  const { version, type, framing } = form;
  const init = create(method.input, message as never);
  const plain =
    sending.bytes ?? (isJson(form) ? Buffer.from(toJsonString(method.input, init)) : toBinary(method.input, init));
  const bytes = encoding === undefined ? plain : compressed(plain, encoding);
  if (framing === "get") {
    const query = new URLSearchParams({ connect: "v1", encoding: isJson(form) ? "json" : "proto", base64: "1" });
    query.set("message", Buffer.from(bytes).toString("base64url"));
    if (encoding !== undefined) query.set("compression", encoding);
    return {
      version,
      method: "GET",
      path: `${path}?${query}`,
      headers: fields({
        ...(accept !== undefined && { "accept-encoding": accept }),
        ...(timeoutMs !== undefined && { "connect-timeout-ms": String(timeoutMs) }),
        ...headers,
      }),
    };
  }
  const isPost = framing === "post";
  return {
    version,
    path,
    headers: fields({
      "content-type": type,
      ...(framing === "grpc" && { te: "trailers" }),
      ...(encoding !== undefined && { [isPost ? "content-encoding" : "grpc-encoding"]: encoding }),
      ...(accept !== undefined && { [isPost ? "accept-encoding" : "grpc-accept-encoding"]: accept }),
      ...(timeoutMs !== undefined &&
        (isPost ? { "connect-timeout-ms": String(timeoutMs) } : { "grpc-timeout": `${timeoutMs}m` })),
      ...headers,
    }),
    body: isPost ? bytes : encodeBody(form, frame(bytes, encoding === undefined || encoding === "identity" ? 0 : 1)),
  };
}

const encodeBody = ({ framing }: Form, body: Uint8Array): Uint8Array =>
  framing === "text" ? Buffer.from(Buffer.from(body).toString("base64")) : body;

/** Node takes lists, and sends each of their values as a field. */
const fields = (headers: Headers1): Record<string, string> => headers as Record<string, string>;

/** What came of a call on one path, taken apart so that it can be compared. */
interface Seen {
  http: number;
  code: number;
  message: string;
  details: unknown;
  /** Where the code stood. */
  place: "headers" | "trailers" | "frame" | "http" | "nowhere";
  /** Without what is above, and without `date` and `x-request-id`. */
  headers: Record<string, unknown>;
  trailers: Record<string, unknown>;
  /** The bytes of the answer's message before compression, as Latin-1. */
  body: string;
  /** What the handler was told; empty where it was not called. */
  calls: unknown[];
  /** How often the server reported a failure as its own. */
  failures: number;
}

function see(
  reply: Reply,
  { request, calls, failures }: Pick<Seen, "calls" | "failures"> & { readonly request: Exchange },
): Seen {
  const { date: _, ":status": __, ...more } = reply.headers as Record<string, unknown>;
  const { "content-length": length, "x-request-id": id, ...headers } = more;
  expect(id).toMatch(/^[0-9a-f]{24}$/);
  if (length !== undefined && request.method !== "HEAD") expect(length).toBe(String(reply.body.length));
  const whole = decompress(reply.body, headers["content-encoding"]);
  const isGrpc = String(headers["content-type"]).startsWith("application/grpc");
  const { status: http } = reply;
  const seen: Seen = {
    ...{ http, code: 0, message: "", details: undefined, place: "http", body: whole.toString("latin1") },
    ...{ headers, trailers: { ...reply.trailers }, calls, failures },
  };
  if (isGrpc) return { ...seen, ...seeGrpc(seen, reply.body) };
  if (http === 200 || whole.length === 0) return seen;
  const { code, message } = outcomeOf({ ...reply, body: whole });
  const { details, ...rest } = JSON.parse(whole.toString()) as JsonObject;
  return { ...seen, code, message, details, body: Object.keys(rest).join() };
}

/** Stands among the trailers where gRPC-Web's frame of them was compressed. */
const compressedTrailers = "(compressed)";

/** What gRPC and gRPC-Web have elsewhere than HTTP does. */
function seeGrpc({ headers, trailers }: Seen, sent: Buffer): Partial<Seen> {
  const isText = String(headers["content-type"]).startsWith("application/grpc-web-text");
  const frames = framesOf(isText ? fromText(sent) : sent);
  const messages = frames.filter(({ flags }) => flags < 2);
  const bodies = messages.map(({ flags, data }) =>
    flags === 1
      ? `compressed: ${decompress(data, headers["grpc-encoding"]).toString("latin1")}`
      : data.toString("latin1"),
  );
  const ends = frames.filter(({ flags }) => flags & 0x80);
  expect(ends.length).toBeLessThan(2);
  for (const { flags, data } of ends) {
    if (flags === 0x81) trailers[compressedTrailers] = true;
    const block = flags === 0x81 ? decompress(data, headers["grpc-encoding"]) : data;
    for (const line of block.toString("latin1").split("\r\n")) {
      if (line === "") continue;
      const name = line.slice(0, line.indexOf(":"));
      const value = line.slice(line.indexOf(":") + 1).trim();
      // Twice the same name is a list, as Node gives set-cookie.
      trailers[name] = name in trailers ? [trailers[name], value].flat() : value;
    }
  }
  const isInHeaders = "grpc-status" in headers;
  expect(isInHeaders && "grpc-status" in trailers).toBe(false);
  const statuses = isInHeaders ? headers : trailers;
  const { "grpc-status": code, "grpc-message": message = "", "grpc-status-details-bin": details, ...rest } = statuses;
  const place = code === undefined ? "nowhere" : isInHeaders ? "headers" : ends.length > 0 ? "frame" : "trailers";
  return {
    ...{ code: code === undefined ? -1 : Number(code), message: decodeURIComponent(String(message)), details, place },
    ...{ body: bodies.join("|"), ...(isInHeaders ? { headers: rest } : { trailers: rest }) },
  };
}

function decompress(bytes: Buffer, encoding: unknown): Buffer {
  if (bytes.length === 0 || encoding === undefined) return bytes;
  return decompressors[encoding as keyof typeof decompressors](bytes);
}

/** The answers of both paths to one request. */
interface Pair {
  readonly request: Exchange;
  readonly direct: Seen;
  readonly stock: Seen;
}

/** Something in which the paths differ, and are meant to. */
interface Difference {
  readonly name: string;
  readonly reason: string;
  /** Whether the pair shows it. If so, it makes the stock answer what the direct one is in this respect. */
  settle(pair: Pair): boolean;
}

/** What both say of the same request, where they say it otherwise. */
interface Telling {
  readonly direct: RegExp;
  readonly stock: RegExp;
  /** Where they differ too: the direct one's and the stock's. */
  readonly codes?: readonly [direct: Code, stock: Code];
  /** Whether the direct one has a detail, and the stock none. */
  readonly hasDetail?: boolean;
  readonly reason: string;
}

const ours = "our text says what is wrong without words of the implementation, and is the same on every protocol";
const cardinality = "gRPC's list of status codes has unimplemented for what is more or less than one message";
const frames = "what follows the one message is wrong as a second message, whatever it holds: it is not looked at";
const malformed = "what the caller sent is no internal error, and the parser's words are nobody's business";

const tellings: readonly Telling[] = [
  { direct: /^the request ends within a message$/, stock: /^protocol error: incomplete envelope$/, reason: ours },
  { direct: /^the request holds no message$/, stock: /^protocol error: missing input message/, reason: ours },
  { direct: /^the request holds more than its one/, stock: /^protocol error: received extra input/, reason: ours },
  { direct: /^the message is compressed, and no/, stock: /^received compressed envelope, but do not/, reason: ours },
  { direct: /^the message is larger than 1000 bytes$/, stock: /^message (size )?(\d+ )?is larger/, reason: ours },
  {
    direct: /^the header (grpc-timeout|connect-timeout-ms) is not a valid timeout: send /,
    stock: /^protocol error: invalid (grpc|connect) timeout value:/,
    hasDetail: true,
    reason: "as REST does it says what to send, with a google.rpc.BadRequest",
  },
  {
    direct: /^the request ends within a message$/,
    stock: /^protocol error: missing input message/,
    codes: [Code.InvalidArgument, Code.Unimplemented],
    reason: "a frame header without its message is cut short, rather than no message",
  },
  {
    direct: /^the request holds more than its one message$/,
    stock: /^protocol error: incomplete envelope$/,
    codes: [Code.Unimplemented, Code.InvalidArgument],
    reason: cardinality,
  },
  {
    direct: /^the request holds more than its one message$/,
    stock: /^the flags of the message are not known$/,
    codes: [Code.Unimplemented, Code.Internal],
    reason: frames,
  },
  {
    direct: /^the request holds more than its one message$/,
    stock: /^the request is not a portcullis\.test\.v1\.TypedRequest in (JSON|binary form)$/,
    codes: [Code.Unimplemented, Code.InvalidArgument],
    reason: frames,
  },
  {
    direct: /^the message is larger than 1000 bytes$/,
    stock: /^the request is not a portcullis\.test\.v1\.TypedRequest in binary form$/,
    codes: [Code.ResourceExhausted, Code.InvalidArgument],
    reason: "text longer than that of any message allowed is not decoded",
  },
  {
    direct: /^the request is not a portcullis\.test\.v1\.TypedRequest in binary form$/,
    stock: /^parse binary: /,
    codes: [Code.InvalidArgument, Code.Internal],
    reason: malformed,
  },
  {
    direct: /^the request is not a portcullis\.test\.v1\.TypedRequest in JSON$/,
    stock: /^cannot decode (message|field) portcullis\.test\.v1\.TypedRequest/,
    reason: malformed,
  },
  {
    direct: /^the query parameter message must be in URL-safe base64$/,
    stock: /^internal error$/,
    codes: [Code.InvalidArgument, Code.Internal],
    reason: malformed,
  },
  {
    direct: /^the query parameter message must be in URL-safe base64$/,
    stock: /^parse binary: /,
    codes: [Code.InvalidArgument, Code.Internal],
    reason: "Connect drops what is not base64",
  },
  {
    direct: /^the query parameter message must be in URL-safe base64$/,
    stock: /^cannot decode message /,
    reason: "Connect drops what is not base64",
  },
  { direct: /^the request is not valid (gzip|deflate)$/, stock: /^decompression failed$/, reason: ours },
  {
    direct: /^the request is not a portcullis\.test\.v1\.TypedRequest in JSON$/,
    stock: /^the request is not valid gzip$/,
    reason: "no bytes are no bytes, compressed or not, as in connect-go",
  },
  {
    direct: /^internal error$/,
    stock: /^serialize binary: cannot encode field/,
    reason: "an answer that is none is a bug of the server, whose words are for the log",
  },
];

const fromTelling = ({ direct: ours, stock: theirs, codes, hasDetail = false, reason }: Telling): Difference => ({
  name: `${ours} for ${theirs}`,
  reason,
  settle({ stock, direct }) {
    const isMeant = ours.test(direct.message) && theirs.test(stock.message) && direct.message !== stock.message;
    const [ofDirect, ofStock] = codes ?? [stock.code, stock.code];
    if (!isMeant || direct.code !== ofDirect || stock.code !== ofStock) return false;
    Object.assign(stock, { message: direct.message, code: ofDirect });
    if (codes !== undefined) stock.http = direct.http;
    if (hasDetail && stock.details === undefined) stock.details = direct.details;
    return true;
  },
});

/** The request headers that the handler was told, of both paths. */
function* toldHeaders({ stock, direct }: Pair) {
  for (const [index, call] of (stock.calls as { header: Record<string, string> }[]).entries()) {
    const other = direct.calls[index] as typeof call | undefined;
    if (other !== undefined) yield { ofStock: call.header, ofDirect: other.header };
  }
}

const differences: readonly Difference[] = [
  ...tellings.map(fromTelling),
  {
    name: "a declared length",
    reason: "the answer is there as a whole when it is sent",
    settle({ stock, direct }) {
      if (stock.headers["transfer-encoding"] !== "chunked" || "transfer-encoding" in direct.headers) return false;
      delete stock.headers["transfer-encoding"];
      return true;
    },
  },
  {
    name: "an error of gRPC in headers alone",
    reason: "where the call has set no headers, one frame says it all, and ends the stream at once",
    settle({ stock, direct }) {
      const isMeant = direct.place === "headers" && stock.place === "trailers" && direct.code !== 0;
      if (!isMeant || Object.keys(direct.trailers).length > 0) return false;
      Object.assign(stock, { place: "headers", headers: { ...stock.headers, ...stock.trailers }, trailers: {} });
      return true;
    },
  },
  {
    name: "failures are reported",
    reason: "Connect's handlers hide that a gate failed and that an answer cannot be written; the log has to know",
    settle({ stock, direct }) {
      if (direct.failures !== 1 || stock.failures !== 0 || direct.message !== "internal error") return false;
      stock.failures = 1;
      return true;
    },
  },
  {
    name: "undefined, thrown, is an error",
    reason: "Connect takes it for the end of a stream without one, and answers OK without a message",
    settle({ stock, direct }) {
      if (direct.code !== Code.Internal || stock.code !== 0 || stock.body !== "") return false;
      Object.assign(stock, { code: direct.code, message: direct.message });
      return true;
    },
  },
  {
    name: "grpc-encoding of what is compressed alone",
    reason: "the header is for messages that are compressed, and a small one is not",
    settle({ stock, direct }) {
      const isMeant = "grpc-encoding" in stock.headers && !("grpc-encoding" in direct.headers);
      if (!isMeant || stock.body.startsWith("compressed")) return false;
      delete stock.headers["grpc-encoding"];
      return true;
    },
  },
  {
    name: "trailers of gRPC-Web as they are",
    reason: "not every client decompresses them",
    settle({ stock, direct }) {
      if (!(compressedTrailers in stock.trailers) || compressedTrailers in direct.trailers) return false;
      delete stock.trailers[compressedTrailers];
      delete stock.headers["grpc-encoding"];
      return true;
    },
  },
  {
    name: "errors as they are",
    reason: "errors are rare and seldom larger than a packet; a caller reads them without decompressing anything",
    settle({ stock, direct }) {
      const { "content-encoding": encoding } = stock.headers;
      if (encoding === undefined || "content-encoding" in direct.headers || direct.code === 0) return false;
      delete stock.headers["content-encoding"];
      return true;
    },
  },
  {
    name: "the encodings that a Connect caller may send",
    reason: "Connect's protocol says that the answer to an unknown one should name them; Connect drops the header",
    settle({ stock, direct }) {
      if (direct.code !== Code.Unimplemented || "accept-encoding" in stock.headers) return false;
      if (direct.headers["accept-encoding"] !== "identity,gzip,br,deflate") return false;
      stock.headers["accept-encoding"] = "identity,gzip,br,deflate";
      return true;
    },
  },
  {
    name: "no word of encodings where the gate refuses",
    reason: "the gate comes before any look at the request",
    settle({ stock, direct }) {
      if (direct.code !== Code.PermissionDenied || "grpc-accept-encoding" in direct.headers) return false;
      if (stock.headers["grpc-accept-encoding"] !== "identity,gzip,br,deflate") return false;
      delete stock.headers["grpc-accept-encoding"];
      return true;
    },
  },
  {
    name: "the content type is told as it was sent",
    reason:
      "the stock path rewrites it for Connect: in lower case, without parameters, binary for text, empty for none",
    settle(pair) {
      let isShown = false;
      for (const { ofStock, ofDirect } of toldHeaders(pair)) {
        if (ofStock["content-type"] === ofDirect["content-type"]) continue;
        const sent = (ofDirect["content-type"] ?? "").split(";")[0]?.trim().toLowerCase();
        if (ofStock["content-type"] !== sent && ofStock["content-type"] !== sent?.replace("-text", "")) continue;
        isShown = true;
        if (ofDirect["content-type"] === undefined) delete ofStock["content-type"];
        else ofStock["content-type"] = ofDirect["content-type"];
      }
      return isShown;
    },
  },
  {
    name: "a timeout beyond what a timer can measure is told as it was sent",
    reason: "the stock path takes it away, so that Connect does not set a timer that ends at once",
    settle(pair) {
      let isShown = false;
      for (const { ofStock, ofDirect } of toldHeaders(pair)) {
        for (const name of ["grpc-timeout", "connect-timeout-ms"]) {
          const sent = ofDirect[name];
          if (sent === undefined || name in ofStock) continue;
          isShown = true;
          ofStock[name] = sent;
        }
      }
      return isShown;
    },
  },
  {
    name: "a content type that a handler sets is not sent",
    reason: "the content type of an answer is its protocol's, and with another one no client could read it",
    settle({ stock, direct }) {
      if (stock.headers["content-type"] !== "text/html" || direct.headers["content-type"] === "text/html") return false;
      Object.assign(stock, direct);
      return true;
    },
  },
  {
    name: "an interceptor that replaces headers and trailers need not know what the protocol sends",
    reason: "Connect keeps content type and grpc-status among them, and sends none where they are replaced",
    settle({ stock, direct }) {
      const hasLost = stock.place === "nowhere" || !("content-type" in stock.headers);
      if (!hasLost || direct.code !== 0) return false;
      // Without its content type an answer cannot even be taken apart.
      if ("content-type" in stock.headers) Object.assign(stock, { place: direct.place, code: 0 });
      else Object.assign(stock, direct);
      return true;
    },
  },
  {
    name: "trailers that an interceptor replaces are gone",
    reason: "Connect deletes them while it goes through them, and so every other one stays",
    settle({ stock, direct }) {
      let isShown = false;
      for (const [sent, ours, name] of [
        [stock.headers, direct.headers, "trailer-x-only"],
        [stock.trailers, direct.trailers, "x-only"],
      ] as const) {
        const kept =
          name in ours ? Object.keys(sent).filter((one) => /^(trailer-)?x-/.test(one) && !(one in ours)) : [];
        for (const one of kept) delete sent[one];
        isShown ||= kept.length > 0;
      }
      return isShown;
    },
  },
  {
    name: "all cookies of headers that an interceptor replaces are sent",
    reason: "Connect sets one over the other",
    settle({ stock, direct }) {
      const [ofStock, ofDirect] = [stock.headers["set-cookie"], direct.headers["set-cookie"]];
      if (!Array.isArray(ofStock) || !Array.isArray(ofDirect) || ofDirect.at(-1) !== ofStock[0]) return false;
      if (ofStock.length !== 1 || ofDirect.length !== 2) return false;
      stock.headers["set-cookie"] = ofDirect;
      return true;
    },
  },
  {
    name: "no bytes of gzip are no bytes",
    reason: "as in connect-go: what is empty has not been compressed",
    settle({ request, stock, direct }) {
      const isEmpty = request.method !== "GET" && (request.body as Uint8Array | undefined)?.length === 0;
      if (!isEmpty || direct.code !== 0 || stock.message !== "the request is not valid gzip") return false;
      Object.assign(stock, direct);
      return true;
    },
  },
  {
    name: "JSON in a query must be UTF-8",
    reason: "as in a body: what cannot be read is refused, rather than replaced by U+FFFD",
    settle({ request, stock, direct }) {
      if (request.method !== "GET" || direct.code !== Code.InvalidArgument || stock.code !== 0) return false;
      if (!stock.body.includes(Buffer.from("\ufffd").toString("latin1"))) return false;
      Object.assign(stock, direct);
      return true;
    },
  },
];

const shown = new Set<string>();

/** Expects that the answers agree but for the differences in the table. */
function expectAgreement(pair: Pair): void {
  for (const { name, settle } of differences) if (settle(pair)) shown.add(name);
  expect(pair.direct).toEqual(pair.stock);
}

/** What the handler of Typed does, by the text of its request. */
const behaviours: Readonly<Record<string, (context: HandlerContext) => unknown>> = {
  large: () => ({ received: { text: "large ".repeat(600) } }),
  "not compressible": () => ({ received: { text: "x".repeat(1_023) } }),
  empty: () => ({}),
  marks({ responseHeader, responseTrailer }) {
    for (const [headers, name] of [
      [responseHeader, "header"],
      [responseTrailer, "trailer"],
    ] as const) {
      headers.set(`x-${name}`, "one");
      headers.append(`x-${name}-several`, "one");
      headers.append(`x-${name}-several`, "two, three");
      headers.set(`x-${name}-latin`, "caf\u00e9");
      headers.set(`x-${name}-empty`, "");
      headers.append(`x-${name}-bin`, Buffer.from([0, 1, 255]).toString("base64").replace(/=+$/, ""));
      headers.append(`x-${name}-bin`, Buffer.from("two").toString("base64"));
    }
    return {};
  },
  cookies({ responseHeader, responseTrailer }) {
    for (const headers of [responseHeader, responseTrailer]) {
      headers.append("set-cookie", "a=1; Path=/");
      headers.append("set-cookie", "b=2; Expires=Wed, 21 Oct 2015 07:28:00 GMT");
    }
    return {};
  },
  "own content type"({ responseHeader }) {
    responseHeader.set("content-type", "text/html");
    return {};
  },
  vary({ responseHeader }) {
    responseHeader.set("vary", "accept-language");
    return {};
  },
  error() {
    throw new ConnectError("no", Code.NotFound);
  },
  "error of every kind"({ responseHeader, responseTrailer }) {
    responseHeader.set("x-header", "set");
    responseTrailer.set("x-trailer", "set");
    const metadata = new Headers([
      ["x-metadata", "one"],
      ["x-metadata", "two"],
      ["x-metadata-bin", "AAH/"],
      ["x-trailer", "again"],
    ]);
    throw new ConnectError("not like this: 100 % 'é' \u{1f600}\n\tand \"so\" on", Code.FailedPrecondition, metadata, [
      { desc: BadRequestSchema, value: { fieldViolations: [{ field: "text", description: "wrong: é" }] } },
      { desc: typed.input, value: { text: "detail" } },
    ]);
  },
  "error with trailers alone"({ responseTrailer }) {
    responseTrailer.set("x-trailer", "set");
    throw new ConnectError("no", Code.Aborted, { "x-metadata": "told" });
  },
  "error with headers alone"({ responseHeader }) {
    responseHeader.set("x-header", "set");
    throw new ConnectError("no", Code.Aborted);
  },
  "error with cookies"({ responseHeader }) {
    const metadata = new Headers();
    metadata.append("set-cookie", "a=1");
    metadata.append("set-cookie", "b=2; Expires=Wed, 21 Oct 2015 07:28:00 GMT");
    responseHeader.append("set-cookie", "c=3");
    throw new ConnectError("no", Code.Aborted, metadata);
  },
  // As rethrown by a handler that calls another service with fetch, and copies what it got.
  "error with headers of HTTP as metadata"() {
    throw new ConnectError("no", Code.Unavailable, {
      "content-type": "text/html",
      "content-length": "1234",
      "content-encoding": "gzip",
      date: "Wed, 21 Oct 2015 07:28:00 GMT",
      "grpc-status": "3",
      "grpc-message": "no",
      "x-own": "1",
    });
  },
  "error of a client"() {
    throw errorFromJson(
      { code: "not_found", message: "from afar" },
      new Headers({ "x-afar": "1" }),
      new ConnectError("?"),
    );
  },
  "error without a text"() {
    throw new ConnectError("", Code.OutOfRange);
  },
  "error with a long text"() {
    throw new ConnectError("a long text; ".repeat(200).trim(), Code.Internal);
  },
  "error with spaces around its text"() {
    throw new ConnectError("  spaced  ", Code.Internal);
  },
  "plain throw"({ responseHeader }) {
    responseHeader.set("x-header", "set");
    throw new Error("a secret");
  },
  "a text thrown"() {
    throw "a secret";
  },
  "nothing thrown"() {
    throw undefined;
  },
  "an AbortError of its own"() {
    throw new DOMException("a secret", "AbortError");
  },
  rejects: () => Promise.reject(new Error("a secret")),
  "an answer that is none": () => ({ received: { small: 1.5 } }),
  nothing: () => undefined,
};

/** An echo server on each path, and what it was told. */
interface Both {
  readonly direct: Path;
  readonly stock: Path;
  close(): Promise<void>;
}
interface Path {
  /** How the observer was told that a request ended. */
  nextOutcome(): Promise<Outcome>;
  readonly server: EchoServer;
  /** What the handlers were told since the last look. */
  readonly calls: unknown[];
}

async function startBoth(options: Pick<EchoOptions, "gate" | "interceptors"> = {}): Promise<Both> {
  const start = async (stockHandlers: boolean): Promise<Path> => {
    const calls: unknown[] = [];
    const outcomes: Outcome[] = [];
    let onOutcome = () => {};
    const server: EchoServer = await startEcho({
      ...options,
      stockHandlers,
      observe: () => (outcome) => {
        outcomes.push(outcome);
        onOutcome();
      },
      implementation: {
        typed(received, context) {
          calls.push(told(context, server.url));
          const behave = behaviours[received.text];
          return behave === undefined ? { received } : (behave(context) as object);
        },
        wait(_, context) {
          calls.push(told(context, server.url));
          return new Promise((_, reject) => {
            context.signal.addEventListener("abort", () => reject(context.signal.reason as Error), { once: true });
          });
        },
      },
    });
    const nextOutcome = async (): Promise<Outcome> => {
      if (outcomes.length === 0) await new Promise<void>((resolve) => (onOutcome = resolve));
      return outcomes.shift() as Outcome;
    };
    return { server, calls, nextOutcome };
  };
  const [direct, stock] = [await start(false), await start(true)];
  return {
    direct,
    stock,
    async close() {
      for (const { server } of [direct, stock]) await server.close({ graceMs: 0 });
    },
  };
}

let both: Both;
beforeAll(async () => {
  both = await startBoth();
});
afterAll(() => both.close());

/**
 * Whether client and observer can know the code: on its way through Connect's handlers it may be compressed, or lost, and the
 * answer to HEAD has none.
 */
const isReadable = ({ http, code, place, headers, trailers }: Seen): boolean => {
  if (place === "nowhere" || (http !== 200 && code === 0)) return false;
  return code === 0 || !("content-encoding" in headers || compressedTrailers in trailers);
};

/** Whether the listener refuses a request before either path sees it: over HTTP/2, no value has blanks around it. */
const isRefusedBefore = ({ version, headers = {} }: Exchange): boolean =>
  version === 2 && Object.values(headers).some((value) => String(value) !== String(value).trim());

/** Sends a request to both, expects that their observers are told what the client is, that they agree, and returns what the direct one answers. */
async function agree(request: Exchange, used = both): Promise<Seen> {
  const call = async ({ server, calls, nextOutcome }: Path): Promise<Seen> => {
    const reply = await exchange(server.url, request);
    const seen = see(reply, { request, calls: calls.splice(0), failures: server.failures.splice(0).length });
    if (isRefusedBefore(request)) {
      expect(seen).toMatchObject({ http: 400, code: Code.InvalidArgument, calls: [] });
      return seen;
    }
    const outcome = await nextOutcome();
    if (isReadable(seen)) expect(outcome).toBe(seen.code);
    return seen;
  };
  const pair = { request, direct: await call(used.direct), stock: await call(used.stock) };
  const seen = { ...pair.direct };
  expectAgreement(pair);
  return seen;
}

/** What a handler can know of its call, but for the port. */
function told(context: HandlerContext, url: string): unknown {
  const { requestHeader, requestMethod, protocolName, timeoutMs, signal, method, service, values } = context;
  const header: Record<string, string> = {};
  for (const [name, value] of requestHeader) if (name !== "host") header[name] = value;
  return {
    url: context.url.replace(url, ""),
    header,
    requestMethod,
    protocolName,
    hasDeadline: timeoutMs() !== undefined,
    isAborted: signal.aborted,
    method: method.name,
    service: service.typeName,
    value: values.get(valueKey),
  };
}

const valueKey = createContextKey("unset");

describe.each(forms)(`$form (${sampleNote})`, (form) => {
  it.each(sampleFor(form, Object.keys(behaviours)))("answers a handler that does: %s", async (text) => {
    const seen = await agree(requestOf(form, { message: { text } }));
    expect(seen.calls).toHaveLength(1);
  });

  const sendings: { name: string; sending: Sending }[] = [
    { name: "an empty message", sending: {} },
    {
      name: "a message with all fields",
      sending: { message: { text: "é\u0000", small: -1, big: -1n, flag: true, color: 2 } },
    },
    { name: "gzip", sending: { encoding: "gzip", message: { text: "hi" } } },
    { name: "br", sending: { encoding: "br", message: { text: "hi" } } },
    { name: "deflate", sending: { encoding: "deflate", message: { text: "hi" } } },
    { name: "deflate of an empty message", sending: { encoding: "deflate" } },
    { name: "deflate, and takes what it sends", sending: { encoding: "deflate", message: { text: "large" } } },
    // As Python's grpcio does.
    {
      name: "deflate, and takes identity, deflate or gzip",
      sending: { encoding: "deflate", accept: "identity, deflate, gzip", message: { text: "large" } },
    },
    { name: "identity", sending: { encoding: "identity", message: { text: "hi" } } },
    { name: "gzip of an empty message", sending: { encoding: "gzip" } },
    { name: "gzip, and takes gzip", sending: { encoding: "gzip", accept: "gzip", message: { text: "large" } } },
    { name: "gzip, and takes what it sends", sending: { encoding: "gzip", message: { text: "large" } } },
    { name: "gzip, and takes br", sending: { encoding: "gzip", accept: "br", message: { text: "large" } } },
    { name: "as it is, and takes gzip", sending: { accept: "gzip", message: { text: "large" } } },
    { name: "as it is, and takes br or gzip", sending: { accept: "br, gzip", message: { text: "large" } } },
    { name: "as it is, and takes gzip or br", sending: { accept: "gzip,br", message: { text: "large" } } },
    { name: "as it is, and takes identity", sending: { accept: "identity", message: { text: "large" } } },
    { name: "as it is, and takes what nobody knows", sending: { accept: "zstd", message: { text: "large" } } },
    { name: "as it is, and takes nothing", sending: { accept: "", message: { text: "large" } } },
    { name: "as it is, and takes gzip for what is small", sending: { accept: "gzip", message: { text: "hi" } } },
    {
      name: "as it is, and takes gzip of 1023 bytes and some",
      sending: { accept: "gzip", message: { text: "not compressible" } },
    },
    { name: "as it is, and takes gzip for an error", sending: { accept: "gzip", message: { text: "error" } } },
    {
      name: "as it is, and takes gzip for a long error",
      sending: { accept: "gzip", message: { text: "error with a long text" } },
    },
    { name: "an hour", sending: { timeoutMs: 3_600_000 } },
    { name: "no time", sending: { timeoutMs: 0 } },
    {
      name: "more than a timer can measure",
      sending: {
        timeoutMs: 99_999_999,
        headers: isEnveloped(form) ? { "grpc-timeout": "99999999H" } : { "connect-timeout-ms": "9999999999" },
      },
    },
    {
      name: "headers, one of them several times",
      sending: {
        headers: {
          "x-one": "1",
          "x-several": ["1", "2"],
          "x-several-bin": ["AAE", "AAH/"],
          "x-latin": "caf\u00e9",
          cookie: "a=1; b=2",
        },
      },
    },
    { name: "another version of Connect's protocol", sending: { headers: { "connect-protocol-version": "2" } } },
    { name: "a user agent", sending: { headers: { "user-agent": "own/1" } } },
    {
      name: "text that is no UTF-8",
      sending: { bytes: isJson(form) ? Buffer.from('{"text":"\xff"}', "latin1") : Buffer.from([0x0a, 1, 0xff]) },
    },
    {
      name: "a message cut short",
      sending: { bytes: isJson(form) ? Buffer.from('{"text":"a') : Buffer.from([0x0a, 9, 97]) },
    },
    { name: "a message that is none", sending: { bytes: Buffer.from([0xff]) } },
    {
      name: "a message with a field nobody knows",
      sending: { bytes: isJson(form) ? Buffer.from('{"nope":1}') : Buffer.from([0xf8, 7, 1]) },
    },
    {
      name: "a message of another type",
      sending: { bytes: isJson(form) ? Buffer.from('{"text":1}') : Buffer.from([0x08, 1]) },
    },
    { name: "JSON that is no object", sending: { bytes: Buffer.from("[]") } },
    {
      name: "1000 bytes",
      sending: { bytes: isJson(form) ? Buffer.from(`{"text":"${"x".repeat(989)}"}`) : filled(1_000) },
    },
    {
      name: "1001 bytes",
      sending: { bytes: isJson(form) ? Buffer.from(`{"text":"${"x".repeat(990)}"}`) : filled(1_001) },
    },
    { name: "10,000 bytes", sending: { bytes: Buffer.alloc(10_000, "x") } },
    {
      name: "gzip of 1000 bytes",
      sending: { encoding: "gzip", bytes: isJson(form) ? Buffer.from(`{"text":"${"x".repeat(989)}"}`) : filled(1_000) },
    },
    { name: "gzip of 1001 bytes", sending: { encoding: "gzip", bytes: Buffer.alloc(1_001, "x") } },
    { name: "deflate of 1001 bytes", sending: { encoding: "deflate", bytes: Buffer.alloc(1_001, "x") } },
    { name: "deflate of 1,000,000 bytes", sending: { encoding: "deflate", bytes: Buffer.alloc(1_000_000) } },
    { name: "br of 1,000,000 bytes", sending: { encoding: "br", bytes: Buffer.alloc(1_000_000) } },
    { name: "gzip of a message that is none", sending: { encoding: "gzip", bytes: Buffer.from([0xff]) } },
    { name: "an RPC left out by the implementation", sending: { method: missing } },
    { name: "an RPC that takes no GET", sending: { method: bare } },
    { name: "an RPC there is not", sending: { path: "/portcullis.test.v1.EchoService/Nope" } },
    { name: "a service there is not", sending: { path: "/nope.Nope/Typed" } },
    { name: "the path in other letter case", sending: { path: rpcPath(typed).toLowerCase() } },
  ];
  it.each(sampleFor(form, sendings))("answers one who sends $name", async ({ sending }) => {
    await agree(requestOf(form, sending));
  });

  it("ends a call whose time is over", async () => {
    const seen = await agree(requestOf(form, { method: form.framing === "get" ? typed : wait, timeoutMs: 30 }));
    if (form.framing !== "get") expect(seen.code).toBe(Code.DeadlineExceeded);
  });

  it("asks the gate before it looks at the message, the encoding or the time", async () => {
    const headers = isEnveloped(form)
      ? { "grpc-encoding": "zstd", "grpc-timeout": "soon" }
      : { "content-encoding": "zstd", "connect-timeout-ms": "soon" };
    const seen = await agreeBehind(
      requestOf(form, { bytes: Buffer.alloc(5_000, 0xff), headers }),
      ({ responseHeader, responseTrailer }) => {
        responseHeader.set("x-gate", "header");
        responseTrailer.set("x-gate-trailer", "trailer");
        throw new ConnectError("closed", Code.PermissionDenied, { "x-metadata": "gate" });
      },
    );
    expect(seen).toMatchObject({ code: Code.PermissionDenied, calls: [] });
  });
  it("reports a gate that fails", async () => {
    const gate = () => {
      throw new Error("a secret");
    };
    expect(await agreeBehind(requestOf(form, {}), gate)).toMatchObject({
      code: Code.Internal,
      message: "internal error",
    });
  });
  it("hands on what the gate sets", async () => {
    const seen = await agreeBehind(requestOf(form, {}), ({ values, responseHeader, requestHeader }) => {
      values.set(valueKey, "from the gate");
      responseHeader.set("x-gate", "header");
      requestHeader.set("x-gate", "told");
    });
    expect(seen.calls).toMatchObject([{ value: "from the gate", header: { "x-gate": "told" } }]);
  });

  it.each(sampleFor(form, Object.entries(interceptors)))(
    "serves with an interceptor that %s",
    async (_, interceptor) => {
      const intercepted = await startBoth({ interceptors: [interceptor] });
      for (const text of ["marks", "error of every kind", "plain throw", "cookies"]) {
        await agree(requestOf(form, { message: { text } }), intercepted);
      }
      await intercepted.close();
    },
  );
});

async function agreeBehind(request: Exchange, gate: Gate): Promise<Seen> {
  const gated = await startBoth({ gate });
  try {
    return await agree(request, gated);
  } finally {
    await gated.close();
  }
}

/** A message of Typed with as many bytes: a text. */
function filled(length: number): Uint8Array {
  return toBinary(typed.input, create(typed.input, { text: "x".repeat(length - 3) }));
}

const interceptors: Readonly<Record<string, Interceptor>> = {
  "does nothing": (next) => (request) => next(request),
  "spreads request and answer": (next) => async (request) => ({ ...(await next({ ...request })) }),
  "replaces the headers of the request": (next) => (request) =>
    next({ ...request, header: new Headers([...request.header, ["x-interceptor", "1"]]) }),
  "changes the headers of the request": (next) => (request) => {
    request.header.set("x-interceptor", "1");
    request.header.delete("user-agent");
    return next(request);
  },
  "changes the context values": (next) => (request) => {
    request.contextValues.set(valueKey, "from an interceptor");
    return next(request);
  },
  "changes headers and trailers of the answer": (next) => async (request) => {
    const answer = await next(request);
    answer.header.set("x-interceptor", "1");
    answer.header.delete("x-header");
    answer.trailer.append("x-trailer", "two");
    return answer;
  },
  "replaces headers and trailers of the answer": (next) => async (request) => {
    const answer = await next(request);
    return {
      ...answer,
      header: new Headers([...answer.header, ["x-interceptor", "1"]]),
      trailer: new Headers({ "x-only": "this" }),
    };
  },
  "answers by itself": () => (request) =>
    Promise.resolve({
      stream: false,
      service: request.service,
      method: request.method as never,
      header: new Headers({ "x-own": "1" }),
      trailer: new Headers({ "x-own-trailer": "1" }),
      message: create(request.method.output, { received: { text: "own" } }) as never,
    }),
  "refuses before": () => () => Promise.reject(new ConnectError("no", Code.Aborted, { "x-metadata": "1" })),
  "refuses after": (next) => async (request) => {
    await next(request);
    throw new ConnectError("too late", Code.Aborted, { "x-metadata": "1" });
  },
  fails: () => () => Promise.reject(new Error("a secret")),
  "takes errors as they come": (next) => async (request) => {
    try {
      return await next(request);
    } catch (reason) {
      throw ConnectError.from(reason, Code.DataLoss);
    }
  },
};

describe.each(enveloped)(`frames in $form (${sampleNote})`, (form) => {
  const small = isJson(form)
    ? Buffer.from('{"text":"hi"}')
    : toBinary(typed.input, create(typed.input, { text: "hi" }));
  const send = (body: Uint8Array | readonly Uint8Array[] | undefined, headers: Headers1 = {}, path = rpcPath(typed)) =>
    agree({
      version: form.version,
      path,
      headers: fields({ "content-type": form.type, te: "trailers", ...headers }),
      ...(body !== undefined && { body: body instanceof Uint8Array ? encodeBody(form, body) : body }),
    });

  const bodies: { name: string; body: Uint8Array; headers?: Headers1 }[] = [
    { name: "no bytes", body: Buffer.alloc(0) },
    { name: "one byte", body: Buffer.alloc(1) },
    { name: "a frame header cut short", body: Buffer.alloc(4) },
    { name: "a frame header alone", body: frame(Buffer.alloc(0), 0, 3) },
    { name: "a message cut short", body: frame(small, 0, small.length + 1) },
    { name: "a message and a byte", body: Buffer.concat([frame(small), Buffer.alloc(1)]) },
    { name: "a message and half of another", body: Buffer.concat([frame(small), frame(small).subarray(0, 7)]) },
    { name: "two messages", body: Buffer.concat([frame(small), frame(small)]) },
    { name: "an empty message twice", body: Buffer.concat([frame(Buffer.alloc(0)), frame(Buffer.alloc(0))]) },
    { name: "a message and a malformed one", body: Buffer.concat([frame(small), frame(Buffer.from([0xff]))]) },
    {
      name: "a message and the trailers of gRPC-Web",
      body: Buffer.concat([frame(small), frame(Buffer.alloc(0), 0x80)]),
    },
    { name: "the flag of trailers", body: frame(small, 0x80) },
    { name: "the flag that ends a stream of Connect", body: frame(small, 2) },
    { name: "all flags", body: frame(small, 0xff) },
    { name: "compressed, and no header says how", body: frame(small, 1) },
    { name: "compressed as identity", body: frame(small, 1), headers: { "grpc-encoding": "identity" } },
    { name: "no gzip", body: frame(small, 1), headers: { "grpc-encoding": "gzip" } },
    { name: "no br", body: frame(small, 1), headers: { "grpc-encoding": "br" } },
    { name: "gzip cut short", body: frame(gzipSync(small).subarray(0, 12), 1), headers: { "grpc-encoding": "gzip" } },
    { name: "gzip of nothing in no bytes", body: frame(Buffer.alloc(0), 1), headers: { "grpc-encoding": "gzip" } },
    {
      name: "two members of gzip",
      body: frame(Buffer.concat([gzipSync(small), gzipSync(small)]), 1),
      headers: { "grpc-encoding": "gzip" },
    },
    {
      name: "gzip and waste",
      body: frame(Buffer.concat([gzipSync(small), Buffer.from("waste")]), 1),
      headers: { "grpc-encoding": "gzip" },
    },
    {
      name: "a header that says gzip, and a message as it is",
      body: frame(small),
      headers: { "grpc-encoding": "gzip" },
    },
    { name: "an encoding nobody knows", body: frame(small), headers: { "grpc-encoding": "zstd" } },
    { name: "an encoding nobody knows, compressed", body: frame(small, 1), headers: { "grpc-encoding": "zstd" } },
    { name: "an encoding in capitals", body: frame(gzipSync(small), 1), headers: { "grpc-encoding": "GZIP" } },
    { name: "an encoding twice", body: frame(gzipSync(small), 1), headers: { "grpc-encoding": ["gzip", "gzip"] } },
    { name: "an empty encoding", body: frame(small), headers: { "grpc-encoding": "" } },
    { name: "deflate, which REST takes", body: frame(small), headers: { "grpc-encoding": "deflate" } },
    { name: "a length of 4 GiB", body: frame(Buffer.alloc(0), 0, 0xffffffff) },
    { name: "a length of 1001 bytes and none of them", body: frame(Buffer.alloc(0), 0, 1_001) },
    { name: "1001 bytes that say they are 10", body: frame(Buffer.alloc(1_001), 0, 10) },
    { name: "20,000 bytes that say they are 10", body: frame(Buffer.alloc(20_000), 0, 10) },
    {
      name: "more compressed bytes than the message may have",
      body: frame(Buffer.alloc(1_001), 1),
      headers: { "grpc-encoding": "gzip" },
    },
    { name: "the header of Connect's encoding", body: frame(small), headers: { "content-encoding": "gzip" } },
    { name: "the timeout of Connect", body: frame(small), headers: { "connect-timeout-ms": "0" } },
  ];
  it.each(sampleFor(form, bodies))("$name", async ({ body, headers }) => {
    await send(body, headers);
  });
  it("no body at all", async () => {
    await send(undefined);
  });
  it("a body in pieces of one byte", async () => {
    const body = Buffer.from(encodeBody(form, frame(small)));
    const seen = await send(Array.from(body, (byte) => Buffer.of(byte)));
    expect(seen.code).toBe(0);
  });
  it.each(["", "1", "S", "0S", "0n", "-1S", "+1S", "1.5S", "1s", "1 S", "123456789S", "0x1S", "99999999S", "1H, 2H"])(
    "the timeout %j",
    async (timeout) => {
      await send(frame(small), { "grpc-timeout": timeout });
    },
  );
  it("two timeouts", async () => {
    await send(frame(small), { "grpc-timeout": ["1H", "2H"] });
  });
  it.each([
    ["parameters", `${form.type}; charset=utf-8; x=1`],
    ["a parameter without a value", `${form.type};`],
    ["capitals", form.type.toUpperCase()],
    ["another character set", `${form.type}; charset=latin1`],
    ["the subtype that is the default", `${form.type.replace(/\+.*/, "")}+proto`],
    ["a subtype nobody knows", `${form.type.replace(/\+.*/, "")}+thrift`],
    ["an empty subtype", `${form.type.replace(/\+.*/, "")}+`],
    ["a type that is none", `${form.type.replace(/\+.*/, "")}foo`],
  ])("a content type with %s", async (_, type) => {
    await send(frame(small), { "content-type": type });
  });
  it.each(["GET", "PUT", "HEAD", "OPTIONS"])("the verb %s", async (method) => {
    const { version, type } = form;
    await agree({ version, method, path: rpcPath(typed), headers: { "content-type": type } });
  });
  it("the path of an HTTP rule, whose values go before the message's", async () => {
    const init = create(say.input, { room: "cellar", text: "hi" });
    const bytes = isJson(form) ? Buffer.from(toJsonString(say.input, init)) : toBinary(say.input, init);
    const found = await send(frame(bytes), {}, "/test/v1/rooms/a%2Fb/say");
    expect(found.code).toBe(0);
    expect(found.body).toContain("a/b");
    for (const path of ["/test/v1/rooms/%/say", "/test/v1/rooms/%00/say", "/test/v1/rooms/x/nope", "/test/v1/mark"]) {
      expect((await send(frame(bytes), {}, path)).code).toBeGreaterThan(0);
    }
  });
});

describe.each(enveloped.filter(({ framing }) => framing === "text"))("text in $form", ({ version, type }) => {
  const good = frame(toBinary(typed.input, create(typed.input, { text: "hi" }))).toString("base64");
  it.each([
    ["no base64", "!!!!"],
    ["a length that is no multiple of four", `${good}A`],
    ["padding first", "===="],
    ["a line break", `${good.slice(0, 4)}\r\n${good.slice(4)}`],
    [
      "two parts, each padded by itself",
      "AA==AAAACAoCaGk=".replace(
        /^.*$/,
        Buffer.from([0, 0]).toString("base64") + Buffer.from([0, 0, 4, 10, 2, 104, 105]).toString("base64"),
      ),
    ],
  ])("%s", async (_, body) => {
    await agree({ version, path: rpcPath(typed), headers: { "content-type": type }, body });
  });
});

describe.each(posts)(`bodies in POST $form (${sampleNote})`, (form) => {
  const small = isJson(form)
    ? Buffer.from('{"text":"hi"}')
    : toBinary(typed.input, create(typed.input, { text: "hi" }));
  const send = (body: Exchange["body"], headers: Headers1 = {}) =>
    agree({
      version: form.version,
      path: rpcPath(typed),
      headers: fields({ "content-type": form.type, ...headers }),
      ...(body !== undefined && { body }),
    });
  const bodies: { name: string; body: Uint8Array; headers?: Headers1 }[] = [
    { name: "no bytes", body: Buffer.alloc(0) },
    { name: "no bytes of gzip", body: Buffer.alloc(0), headers: { "content-encoding": "gzip" } },
    { name: "no gzip", body: small, headers: { "content-encoding": "gzip" } },
    { name: "no br", body: small, headers: { "content-encoding": "br" } },
    { name: "gzip cut short", body: gzipSync(small).subarray(0, 12), headers: { "content-encoding": "gzip" } },
    {
      name: "gzip and waste",
      body: Buffer.concat([gzipSync(small), Buffer.from("waste")]),
      headers: { "content-encoding": "gzip" },
    },
    { name: "an encoding nobody knows", body: small, headers: { "content-encoding": "zstd" } },
    { name: "an encoding in capitals", body: gzipSync(small), headers: { "content-encoding": "GZIP" } },
    { name: "two encodings", body: gzipSync(gzipSync(small)), headers: { "content-encoding": "gzip, gzip" } },
    { name: "an empty encoding", body: small, headers: { "content-encoding": "" } },
    { name: "deflate, which REST takes", body: small, headers: { "content-encoding": "deflate" } },
    { name: "the header of gRPC's encoding", body: small, headers: { "grpc-encoding": "gzip" } },
    { name: "the timeout of gRPC", body: small, headers: { "grpc-timeout": "0S" } },
    { name: "a BOM", body: Buffer.concat([Buffer.from("\ufeff"), small]) },
    { name: "white space around", body: Buffer.concat([Buffer.from(" \n"), small, Buffer.from("\n")]) },
    { name: "quality values", body: small, headers: { "accept-encoding": "gzip;q=0, br;q=1" } },
  ];
  it.each(sampleFor(form, bodies))("$name", async ({ body, headers }) => {
    await send(body, headers);
  });
  it("no body at all", async () => {
    await send(undefined);
  });
  it("10,000 bytes of no declared length", async () => {
    await send(Array.from({ length: 10 }, () => Buffer.alloc(1_000, "x")));
  });
  it("a body in pieces of one byte", async () => {
    expect((await send(Array.from(small, (byte) => Buffer.of(byte)))).code).toBe(0);
  });
  it.each(["", "abc", "-1", "1.5", "1e3", "0", "00005000", "12345678901", "2147483648", "5000, 6000"])(
    "the timeout %j",
    async (timeout) => {
      await send(small, { "connect-timeout-ms": timeout });
    },
  );
  it.each([
    ["a character set", `${form.type}; charset=utf-8`],
    ["a character set in capitals", `${form.type}; Charset="UTF-8"`],
    ["another character set", `${form.type}; charset=latin1`],
    ["another parameter", `${form.type}; x=1`],
    ["capitals", form.type.toUpperCase()],
    ["the type of streams", form.type.replace("application/", "application/connect+")],
    ["another type", "text/plain"],
  ])("a content type with %s", async (_, type) => {
    await send(small, { "content-type": type });
  });
  it.each(["PUT", "OPTIONS", "DELETE"])("the verb %s", async (method) => {
    await agree({ version: form.version, method, path: rpcPath(typed), headers: { "content-type": form.type } });
  });
});

describe.each(gets)(`queries in $form (${sampleNote})`, (form) => {
  const { version, type } = form;
  const encoding = type.endsWith("json") ? "json" : "proto";
  const queries: [name: string, query: string][] = [
    ["a message as text", `encoding=${encoding}&message=${encodeURIComponent('{"text":"é"}')}`],
    ["a message with plus signs for spaces", `encoding=${encoding}&message=%7B%22text%22:%22a+b%22%7D`],
    ["no message", `encoding=${encoding}`],
    ["an empty message", `encoding=${encoding}&message=`],
    ["a message twice", `encoding=${encoding}&message=%7B%7D&message=x`],
    ["no base64", `encoding=${encoding}&base64=1&message=!!!`],
    ["padded base64", `encoding=${encoding}&base64=1&message=e30=`],
    ["base64 that is not for URLs", `encoding=${encoding}&base64=1&message=e30%2B`],
    ["base64=0", `encoding=${encoding}&base64=0&message=%7B%7D`],
    ["no encoding", "message=%7B%7D"],
    ["an encoding nobody knows", "encoding=xml&message=%7B%7D"],
    ["two encodings", `encoding=${encoding}&encoding=xml&message=%7B%7D`],
    ["two encodings, first one nobody knows", `encoding=xml&encoding=${encoding}&message=%7B%7D`],
    ["no version", `encoding=${encoding}&message=%7B%7D`],
    ["another version", `connect=v2&encoding=${encoding}&message=%7B%7D`],
    ["a compression nobody knows", `encoding=${encoding}&compression=zstd&message=%7B%7D`],
    ["compression=identity", `encoding=${encoding}&compression=identity&message=%7B%7D`],
    ["an empty compression", `encoding=${encoding}&compression=&message=%7B%7D`],
    ["gzip of nothing", `encoding=${encoding}&compression=gzip&message=`],
    ["no gzip", `encoding=${encoding}&compression=gzip&message=%7B%7D`],
    ["a fragment", `encoding=${encoding}&message=%7B%7D#x`],
    ["a bad escape", `encoding=${encoding}&message=%`],
  ];
  it.each(sampleFor(form, queries))("%s", async (_, query) => {
    await agree({ version, method: "GET", path: `${rpcPath(typed)}?${query}` });
  });
  it("a body, which is nothing to a GET", async () => {
    const path = `${rpcPath(typed)}?encoding=${encoding}`;
    const headers = { "content-type": "application/json", "content-length": "5" };
    await agree({ version, method: "GET", path, body: "waste", headers });
  });
  it("HEAD", async () => {
    await agree({ version, method: "HEAD", path: `${rpcPath(typed)}?encoding=${encoding}` });
  });
});

describe("the real server", () => {
  const now = Date.UTC(2026, 0, 1);
  let direct: TestServer;
  let stock: TestServer;
  const tokens = new Map<TestServer, string>();
  beforeAll(async () => {
    direct = await startTestServer({ clock: () => now });
    stock = await startTestServer({ clock: () => now, stockHandlers: true });
    for (const server of [direct, stock]) tokens.set(server, await server.createCaller("ORG_OWNER_VIEWER"));
  });
  afterAll(async () => {
    for (const server of [direct, stock]) await server.close();
  });

  /** The same for both, but for their tokens and ids. */
  async function agreeOf(form: Form, sending: Sending & { readonly caller?: "admin" | "viewer" | "nobody" }) {
    const { caller = "admin", headers } = sending;
    const call = async (server: TestServer): Promise<Seen> => {
      const token = caller === "admin" ? server.adminToken : tokens.get(server);
      const authorization = caller === "nobody" ? {} : { authorization: `Bearer ${token}` };
      const request = requestOf(form, { ...sending, headers: { ...authorization, ...headers } });
      const reply = await exchange(server.url, request);
      const seen = see(reply, { request, calls: [], failures: server.failures.splice(0).length });
      const ids = { [server.instanceId]: "<instance id....>", [server.defaultOrganization]: "<organization id>" };
      for (const [id, name] of Object.entries(ids)) seen.body = seen.body.replaceAll(id, name);
      return seen;
    };
    const pair = { request: requestOf(form, sending), direct: await call(direct), stock: await call(stock) };
    const { code } = pair.direct;
    expectAgreement(pair);
    return code;
  }

  it.each(forms.filter(({ framing }) => framing !== "get"))("agrees on $form", async (form) => {
    const policy = { method: management.getLoginPolicy };
    const factor = { method: management.addSecondFactorToLoginPolicy, message: { type: SecondFactorType.OTP_SMS } };
    const invalid = { method: management.addSecondFactorToLoginPolicy, message: { type: 0 } };
    const codes = [
      await agreeOf(form, policy),
      await agreeOf(form, { ...policy, accept: "gzip" }),
      await agreeOf(form, { ...policy, encoding: "gzip" }),
      await agreeOf(form, factor),
      await agreeOf(form, { ...factor, encoding: "br" }),
      await agreeOf(form, { method: management.removeSecondFactorFromLoginPolicy, message: factor.message }),
      await agreeOf(form, { method: management.resetLoginPolicyToDefault }),
      await agreeOf(form, { method: management.resetLoginPolicyToDefault }),
      await agreeOf(form, invalid),
      await agreeOf(form, { ...invalid, bytes: Buffer.from([0xff]) }),
      await agreeOf(form, { ...factor, timeoutMs: 0 }),
      await agreeOf(form, { ...factor, caller: "viewer" }),
      await agreeOf(form, { ...policy, caller: "viewer" }),
      await agreeOf(form, { ...policy, caller: "nobody" }),
      await agreeOf(form, { ...policy, headers: { authorization: "Bearer nonsense" } }),
      await agreeOf(form, { ...policy, headers: { "x-zitadel-orgid": "404404404404404404" } }),
      await agreeOf(form, { ...factor, bytes: Buffer.alloc(70_000), caller: "nobody" }),
      await agreeOf(form, { ...factor, path: "/zitadel.management.v1.ManagementService/Nope" }),
    ];
    const { AlreadyExists, NotFound, InvalidArgument, DeadlineExceeded, PermissionDenied, Unauthenticated } = Code;
    expect(codes).toEqual([
      ...[0, 0, 0, 0, AlreadyExists, 0, 0, NotFound, InvalidArgument, InvalidArgument, DeadlineExceeded],
      ...[PermissionDenied, 0, Unauthenticated, Unauthenticated, PermissionDenied, Unauthenticated, Code.Unimplemented],
    ]);
  });
});

// The last test of the file: what no case shows any more is no difference, and must leave the table.
if (isWhole) {
  it.each(differences)("there still is: $name ($reason)", ({ name }) => {
    expect(shown).toContain(name);
  });
}
