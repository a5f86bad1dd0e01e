import type { IncomingMessage, ServerResponse } from "node:http";
import { isGone, type ListenerHandler, type ListenerRequest, nameAnswer, rawPath } from "@portcullis/rpc";
import type { Provider } from "oidc-provider";
import { provideIssuerKeys, publishedKeys, readIssuerKeys } from "../../application/issuer-keys.ts";
import type { LimitedLog } from "../../process/limited-log.ts";
import type { Clock, Store } from "../../store/store.ts";
import { createClientAddress } from "../../telemetry/client-address.ts";
import { keyClientId } from "../issued.ts";
import { generateIssuerKeys } from "./generate-keys.ts";
import { jwtBearerGrant } from "./key-assertion.ts";
import { issuerPaths, methodsOf, signInPath } from "./paths.ts";
import { createProvider } from "./provider.ts";
import { readForm, toIssuerRequest } from "./request.ts";
import { createSignIn } from "./sign-in.ts";
import { createAddressThrottle, createThrottle } from "./throttle.ts";

export interface IssuerOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** The issuer identifier: an origin, such as `https://login.example`. */
  readonly url: string;
  /** Addresses and ranges of proxies whose headers about the client's address are trusted. */
  readonly trustedProxies: readonly string[];
  /** Receives failures of the server, with the id of the answer. */
  readonly report: (reason: unknown, requestId: string) => void;
  /** Receives the reasons for refused requests. */
  readonly limitedLog: LimitedLog;
}

/** A wrong secret, key or code at these paths may be a guess. */
const guardedPaths: ReadonlySet<string> = new Set([
  issuerPaths.token,
  issuerPaths.introspection,
  issuerPaths.revocation,
]);
/** Programs with a correct configuration have no failures. */
const failures = { capacity: 60, refillMs: 1_000 };

/** Bounds requests that leave a record each. An office behind one address signs in more slowly. */
const visits = { capacity: 200, refillMs: 250 };
const isVisit = (path: string): boolean =>
  path.startsWith(issuerPaths.authorization) || path.startsWith(issuerPaths.endSession);

/** Whether browsers navigate to a path. Pages of other origins may not read these. */
const isNavigated = (path: string): boolean => isVisit(path) || path.startsWith(signInPath);

/** A request to sign in is stored until it ends. Browsers and proxies handle targets of this length. */
const maxTargetLength = 4096;

const formTimeoutMs = 10_000;

/** Serves the built-in issuer. `issuerRoutes` are its paths. */
export function createIssuer(options: IssuerOptions): ListenerHandler {
  const { store, clock, url, trustedProxies, report } = options;
  const addressOf = createClientAddress(trustedProxies);
  const serveSignIn = createSignIn({ store, url, throttle: createThrottle({ clock }) });
  const guesses = createAddressThrottle({ clock, ...failures });
  const visitors = createAddressThrottle({ clock, ...visits });
  const providers = createProviderSource(options);

  async function serve(request: ListenerRequest, response: ServerResponse): Promise<void> {
    const path = rawPath(request);
    const methods = methodsOf(path);
    if (!methods.includes(request.method ?? "")) {
      response.setHeader("allow", methods.join(", "));
      return refuse(response, 405, "invalid_request", `this path takes ${methods.join(", ")}`);
    }
    // oidc-provider answers preflights, except for paths that pages of other origins may not call.
    const isPreflight = request.headers["access-control-request-method"] !== undefined;
    if (request.method === "OPTIONS" && (!isPreflight || isNavigated(path))) {
      response.writeHead(204, { allow: methods.join(", "), "cache-control": "no-store" }).end();
      return;
    }
    const target = toTarget(request);
    if (target.length > maxTargetLength)
      return refuse(response, 414, "invalid_request", "the request target is too long");
    const address = addressOf(request);
    const body = await readForm(request, formTimeoutMs);
    if (body === undefined) return refuse(response, 413, "invalid_request", "the form is too large");
    // Counted after the form has arrived, because a guess needs one.
    const isGuarded = guardedPaths.has(path) && request.method === "POST";
    const throttle = isGuarded ? guesses : isVisit(path) ? visitors : undefined;
    const { retryAfterMs } = throttle?.take(address) ?? { retryAfterMs: 0 };
    if (retryAfterMs > 0) {
      response.setHeader("retry-after", String(Math.ceil(retryAfterMs / 1000)));
      return refuse(response, 429, "temporarily_unavailable", "too many requests from this address; try again later");
    }
    // For the pages of oidc-provider. Our own set more.
    response.setHeader("x-frame-options", "DENY");
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("content-security-policy", "frame-ancestors 'none'");
    const { provider, callback } = await providers.current();
    const keyForm = path === issuerPaths.token ? readKeyForm(body) : undefined;
    const issuerRequest = toIssuerRequest(request, { url, body: keyForm ?? body, target, address });
    if (keyForm !== undefined) delete issuerRequest.headers.authorization;
    if (path.startsWith(signInPath)) {
      const fields = new URLSearchParams(body.toString());
      return serveSignIn({ provider, request: issuerRequest, response, path, form: fields, address });
    }
    try {
      await callback(issuerRequest, response);
    } finally {
      const isRefused = response.statusCode === 400 || response.statusCode === 401;
      if (isGuarded && !isRefused) guesses.succeeded(address);
    }
  }

  return (request, response) => {
    // The two response types behave alike in everything that oidc-provider and the pages use.
    const answer = response as ServerResponse;
    serve(request, answer).catch((reason: unknown) => {
      // The client disconnected, or its form did not arrive in time.
      if (isGone(response) || answer.writableEnded) return;
      report(reason, nameAnswer(request, response));
      if (answer.headersSent) answer.destroy();
      else refuse(answer, 500, "server_error", "the server failed");
    });
  };
}

/** Creates the provider at the first request, and again after any process has rotated the keys. */
function createProviderSource(options: IssuerOptions) {
  const { store, clock } = options;
  type Callback = (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  let made: { readonly kids: string; readonly provider: Provider; readonly callback: Callback } | undefined;
  let starting: ReturnType<typeof provideIssuerKeys> | undefined;

  async function firstKeys() {
    starting ??= generateIssuerKeys(clock()).then((fresh) => provideIssuerKeys(store, fresh));
    try {
      return await starting;
    } finally {
      starting = undefined;
    }
  }

  return {
    async current() {
      const keys = (await readIssuerKeys(store)) ?? (await firstKeys());
      const signing = publishedKeys(keys, clock());
      const kids = signing.map(({ kid }) => kid).join(" ");
      if (made?.kids !== kids) {
        const provider = createProvider({ ...options, keys: { ...keys, signing } });
        made = { kids, provider, callback: provider.callback() as unknown as Callback };
      }
      return made;
    },
  };
}

/**
 * The form of a grant by a user's key, with the client of all keys; undefined for any other form. The signature authenticates
 * the user, so the client in the request is ignored: ZITADEL's SDKs send none, or one that their OAuth library makes up, such
 * as `client_id=None` (Python), or `zitadel` in Basic authentication (Ruby).
 */
function readKeyForm(body: Buffer): Buffer | undefined {
  const form = new URLSearchParams(body.toString());
  if (form.get("grant_type") !== jwtBearerGrant) return undefined;
  form.set("client_id", keyClientId);
  form.delete("client_secret");
  return Buffer.from(form.toString());
}

/**
 * The request target. A request for offline access also gets the prompt for consent, which OpenID Connect Core, section 11,
 * and oidc-provider require, and which ZITADEL's clients do not send.
 */
function toTarget(request: ListenerRequest): string {
  const path = rawPath(request);
  const target = request.url ?? "";
  const start = target.indexOf("?");
  const query = new URLSearchParams(start === -1 ? "" : target.slice(start));
  const prompts = (query.get("prompt") ?? "").split(" ").filter((prompt) => prompt !== "");
  const wantsOffline = query.get("scope")?.split(" ").includes("offline_access") === true;
  if (path === issuerPaths.authorization && wantsOffline && !prompts.includes("none") && !prompts.includes("consent")) {
    query.set("prompt", [...prompts, "consent"].join(" "));
    return `${path}?${query}`;
  }
  return start === -1 ? path : `${path}${target.slice(start)}`;
}

function refuse(response: ServerResponse, status: number, error: string, description: string): void {
  const body = JSON.stringify({ error, error_description: description });
  response.writeHead(status, {
    "content-type": "application/json",
    "cache-control": "no-store",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}
