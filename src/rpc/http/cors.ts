import { cors } from "@connectrpc/connect";
import {
  aroundHandler,
  type ListenerHandler,
  type ListenerRequest,
  type ListenerResponse,
} from "../listener/handler.ts";
import { requestIdHeader } from "../listener/request-id.ts";
import { sendStatusAnswer } from "../listener/status-answer.ts";

/** Which browser pages may call, and with what. */
export interface CorsPolicy {
  /** Origins as browsers send them (`https://app.example`, no path), compared exactly; `*` allows all. Empty: CORS off. */
  origins: readonly string[];
  methods: readonly string[];
  /** Request headers that a page may set. One that ends in `*` stands for all that begin so. */
  allowHeaders: readonly string[];
  /** Response headers that a page may read. */
  exposeHeaders: readonly string[];
  /** How long a browser may remember a preflight's answer. */
  maxAgeSeconds: number;
}

/**
 * What browsers need for the four protocols: Connect's own lists, what clients of gRPC-Web in .NET and Dart send and read
 * besides, the REST verbs, the bearer token, REST's own request headers, and the headers that explain an answer. Applications
 * add the headers they invent, and their trailers: over Connect and REST these are headers named `trailer-…`.
 */
export const corsDefaults: Readonly<Omit<CorsPolicy, "origins">> = Object.freeze({
  methods: ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
  allowHeaders: [
    // Its own encodings and timeout, that of gRPC, and what Google's client of gRPC-Web sends.
    ...cors.allowedHeaders,
    "Grpc-Encoding",
    "Grpc-Accept-Encoding",
    // Sent with a call that is tried again.
    "Grpc-Previous-Rpc-Attempts",
    "Authorization",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Server-Timeout",
  ],
  exposeHeaders: [
    // It has grpc-status, grpc-message and grpc-status-details-bin: errors without a body travel in them.
    ...cors.exposedHeaders,
    // How the messages of a stream are compressed: without it, none can be read.
    "Grpc-Encoding",
    // What is understood, where an encoding or a content type was not.
    "Grpc-Accept-Encoding",
    "Connect-Accept-Encoding",
    "Accept-Encoding",
    "Accept",
    "Accept-Post",
    // When to try again.
    "Grpc-Retry-Pushback-Ms",
    "Retry-After",
    "Allow",
    "ETag",
    "WWW-Authenticate",
    // For a report to who runs the server.
    requestIdHeader,
  ],
  // Chrome's own upper limit; more is cut.
  maxAgeSeconds: 7200,
});

/**
 * Lets pages of other origins call a handler; what the policy leaves out is as in `corsDefaults`. Preflights are answered here:
 * 204, or 403 with a Status body for a foreign origin. Other requests reach the handler, whatever their origin: a browser keeps a
 * foreign page from reading the answer, and authorization is by a token, which a foreign page does not have.
 *
 * `Access-Control-Allow-Credentials` is never sent: tokens travel in a header that the page sets, not in a cookie that the
 * browser adds, so no foreign page can spend a visitor's rights, and `*` is safe to allow.
 *
 * The headers are set on the response before the handler runs and `writeHead` keeps them; an answer that bypasses the
 * response object (`res.stream.respond`) has to copy `res.getHeaders()`.
 */
export function withCors(
  handler: ListenerHandler,
  given: Partial<CorsPolicy> & Pick<CorsPolicy, "origins">,
): ListenerHandler {
  const policy = { ...corsDefaults, ...given };
  if (policy.origins.length === 0) return handler;
  const origins = new Set(policy.origins);
  const any = origins.has("*");
  const methods = policy.methods.join(", ");
  const allowHeaders = policy.allowHeaders.filter((name) => !name.endsWith("*"));
  const allowPrefixes = policy.allowHeaders
    .filter((name) => name.endsWith("*"))
    .map((name) => name.slice(0, -1).toLowerCase());
  const exposeHeaders = policy.exposeHeaders.join(", ");
  const maxAge = String(policy.maxAgeSeconds);

  /**
   * The headers that a page may set. Browsers want each by its full name, so those that match a prefix are copied from the
   * preflight.
   */
  function allowed(asked: string): string {
    const more = asked
      .toLowerCase()
      .split(",")
      .map((name) => name.trim())
      .filter((name) => isFieldName(name) && allowPrefixes.some((prefix) => name.startsWith(prefix)));
    return [...allowHeaders, ...more].join(", ");
  }

  function preflight(
    origin: string,
    { req, res }: { readonly req: ListenerRequest; readonly res: ListenerResponse },
  ): void {
    res.setHeader("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if (!any && !origins.has(origin)) {
      sendStatusAnswer(res, { httpStatus: 403, code: 7, message: "This origin may not call this server." });
      return;
    }
    res.setHeader("access-control-allow-origin", any ? "*" : origin);
    res.setHeader("access-control-allow-methods", methods);
    res.setHeader("access-control-allow-headers", allowed(String(req.headers["access-control-request-headers"] ?? "")));
    res.setHeader("access-control-max-age", maxAge);
    res.statusCode = 204;
    res.end();
  }

  return aroundHandler(handler, (req, res, next) => {
    const { origin } = req.headers;
    if (origin === undefined) {
      // A cache must not give this answer, which allows no origin, to a page. Only what may be cached needs the header.
      if (req.method === "GET" || req.method === "HEAD") varyByOrigin(res);
    } else if (isPreflight(req)) {
      preflight(origin, { req, res });
      return;
    } else {
      varyByOrigin(res);
      if (any || origins.has(origin)) {
        res.setHeader("access-control-allow-origin", any ? "*" : origin);
        res.setHeader("access-control-expose-headers", exposeHeaders);
      }
    }
    handler(req, res, next);
  });
}

/** RFC 9110, 5.6.2. */
const isFieldName = (text: string): boolean => /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(text);

function isPreflight(req: ListenerRequest): boolean {
  return req.method === "OPTIONS" && req.headers["access-control-request-method"] !== undefined;
}

type WriteHead = (statusCode: number, ...rest: unknown[]) => ListenerResponse;

/**
 * Adds Origin to whatever Vary the answer ends up with. Both HTTP versions' `writeHead` replaces headers set before by those
 * it is given, and is also what a plain `end()` calls, so it is the one place that knows the final headers.
 */
function varyByOrigin(res: ListenerResponse): void {
  res.setHeader("vary", "Origin");
  const writeHead: WriteHead = res.writeHead.bind(res) as WriteHead;
  const patched: WriteHead = (statusCode, ...rest) => {
    const headers = rest.at(-1);
    if (typeof headers === "object" && headers !== null) rest[rest.length - 1] = addOrigin(headers);
    const vary = res.getHeader("vary");
    if (vary !== undefined) res.setHeader("vary", withOrigin(vary));
    return writeHead(statusCode, ...rest);
  };
  res.writeHead = patched as typeof res.writeHead;
}

/** A copy of `writeHead`'s headers, an object or a flat list of names and values, with Origin added to its Vary if any. */
function addOrigin(headers: object): object {
  if (Array.isArray(headers)) {
    return headers.map((entry, i) => (i % 2 === 1 && isVary(headers[i - 1]) ? withOrigin(entry) : entry));
  }
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, isVary(name) ? withOrigin(value) : value]),
  );
}

function isVary(name: unknown): boolean {
  return typeof name === "string" && name.toLowerCase() === "vary";
}

function withOrigin(vary: unknown): string {
  const names = String(vary)
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  const covered = names.some((name) => name === "*" || name.toLowerCase() === "origin");
  return (covered ? names : [...names, "Origin"]).join(", ");
}
