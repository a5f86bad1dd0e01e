import { cors } from "@connectrpc/connect";
import {
  aroundHandler,
  type ListenerHandler,
  type ListenerRequest,
  type ListenerResponse,
} from "./listener/handler.ts";
import { sendStatusAnswer } from "./listener/status-answer.ts";

/** Which browser pages may call, and with what. */
export interface CorsPolicy {
  /** Origins as browsers send them (`https://app.example`, no path), compared exactly; `*` allows all. Empty: CORS off. */
  origins: readonly string[];
  methods: readonly string[];
  /** Request headers that a page may set. */
  allowHeaders: readonly string[];
  /** Response headers that a page may read. */
  exposeHeaders: readonly string[];
  /** How long a browser may remember a preflight's answer. */
  maxAgeSeconds: number;
}

/**
 * What browsers need for the four protocols: Connect's own lists, the REST verbs, the bearer token, REST's own request
 * headers, and the headers that explain an answer. Applications add the headers they invent.
 */
export const corsDefaults: Readonly<Omit<CorsPolicy, "origins">> = Object.freeze({
  methods: ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"],
  // Connect's list has its own timeout, that of gRPC, and what gRPC-Web sends.
  allowHeaders: [...cors.allowedHeaders, "Authorization", "If-None-Match", "X-Server-Timeout"],
  // Connect's list has grpc-status, grpc-message and grpc-status-details-bin: errors without a body travel in them.
  exposeHeaders: [...cors.exposedHeaders, "Allow", "Retry-After", "ETag"],
  // Chrome's own upper limit; more is cut.
  maxAgeSeconds: 7200,
});

/**
 * Lets pages of other origins call a handler. Preflights are answered here: 204, or 403 with a Status body for a foreign
 * origin. Other requests reach the handler, whatever their origin: a browser keeps a foreign page from reading the answer,
 * and authorization is by a token, which a foreign page does not have.
 *
 * `Access-Control-Allow-Credentials` is never sent: tokens travel in a header that the page sets, not in a cookie that the
 * browser adds, so no foreign page can spend a visitor's rights, and `*` is safe to allow.
 *
 * The headers are set on the response before the handler runs and `writeHead` keeps them; an answer that bypasses the
 * response object (`res.stream.respond`) has to copy `res.getHeaders()`.
 */
export function withCors(handler: ListenerHandler, policy: CorsPolicy): ListenerHandler {
  if (policy.origins.length === 0) return handler;
  const origins = new Set(policy.origins);
  const any = origins.has("*");
  const methods = policy.methods.join(", ");
  const allowHeaders = policy.allowHeaders.join(", ");
  const exposeHeaders = policy.exposeHeaders.join(", ");
  const maxAge = String(policy.maxAgeSeconds);

  function preflight(origin: string, res: ListenerResponse): void {
    res.setHeader("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if (!any && !origins.has(origin)) {
      sendStatusAnswer(res, { httpStatus: 403, code: 7, message: "This origin may not call this server." });
      return;
    }
    res.setHeader("access-control-allow-origin", any ? "*" : origin);
    res.setHeader("access-control-allow-methods", methods);
    res.setHeader("access-control-allow-headers", allowHeaders);
    res.setHeader("access-control-max-age", maxAge);
    res.statusCode = 204;
    res.end();
  }

  return aroundHandler(handler, (req, res, next) => {
    const { origin } = req.headers;
    if (origin === undefined) {
      // A cache must not give this answer, which allows nobody, to a page. Only what may be cached needs the remark.
      if (req.method === "GET" || req.method === "HEAD") varyByOrigin(res);
    } else if (isPreflight(req)) {
      preflight(origin, res);
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

function isPreflight(req: ListenerRequest): boolean {
  return req.method === "OPTIONS" && req.headers["access-control-request-method"] !== undefined;
}

type WriteHead = (statusCode: number, ...rest: unknown[]) => ListenerResponse;

/**
 * Adds Origin to whatever Vary the answer ends up with. Both HTTP versions' `writeHead` replaces headers set before by those
 * it is given, and is also what a plain `end()` calls, so it is the one place where the handler's last word is known.
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
