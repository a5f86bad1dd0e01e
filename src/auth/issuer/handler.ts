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
  /** Addresses and ranges of proxies whose word about a client's address is taken. */
  readonly trustedProxies: readonly string[];
  /** Gets failures of the server's own, and the id that the answer has. */
  readonly report: (reason: unknown, requestId: string) => void;
  /** Gets why requests are refused. */
  readonly limitedLog: LimitedLog;
}

/** Where a wrong secret, key or code is a guess, for all that the server knows. */
const guardedPaths: ReadonlySet<string> = new Set([
  issuerPaths.token,
  issuerPaths.introspection,
  issuerPaths.revocation,
]);
/** One failure per second and address; programs that are set up well have none. */
const failures = { capacity: 60, refillMs: 1_000 };

/** What anyone may ask for, and what is kept for a while for each who does. An office behind one address signs in slower. */
const visits = { capacity: 200, refillMs: 250 };
const isVisit = (path: string): boolean =>
  path.startsWith(issuerPaths.authorization) || path.startsWith(issuerPaths.endSession);

/** Where browsers go themselves: no page of another origin may read what is there. */
const isNavigated = (path: string): boolean => isVisit(path) || path.startsWith(signInPath);

/** Of a request to sign in: it is kept until it ends. Browsers and proxies manage this much. */
const maxTargetLength = 4096;

/** For a form of a few hundred bytes. */
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
      return refuse(response, 405, "invalid_request", `this address takes ${methods.join(", ")}`);
    }
    // A preflight is oidc-provider's to answer, but where no page of another origin may call.
    const isPreflight = request.headers["access-control-request-method"] !== undefined;
    if (request.method === "OPTIONS" && (!isPreflight || isNavigated(path))) {
      response.writeHead(204, { allow: methods.join(", "), "cache-control": "no-store" }).end();
      return;
    }
    const target = toTarget(request);
    if (target.length > maxTargetLength) return refuse(response, 414, "invalid_request", "the address is too long");
    const address = addressOf(request);
    const body = await readForm(request, formTimeoutMs);
    if (body === undefined) return refuse(response, 413, "invalid_request", "the form is too large");
    // Counted only now: a form that never arrives is no guess.
    const isGuarded = guardedPaths.has(path) && request.method === "POST";
    const throttle = isGuarded ? guesses : isVisit(path) ? visitors : undefined;
    const { retryAfterMs } = throttle?.take(address) ?? { retryAfterMs: 0 };
    if (retryAfterMs > 0) {
      response.setHeader("retry-after", String(Math.ceil(retryAfterMs / 1000)));
      return refuse(response, 429, "temporarily_unavailable", "too many requests from this address; try again later");
    }
    // Some pages are oidc-provider's own; ours say more.
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
    // Both response types behave alike where oidc-provider and the pages use them.
    const answer = response as ServerResponse;
    serve(request, answer).catch((reason: unknown) => {
      // Also of a form that broke off, or did not come in time.
      if (isGone(response) || answer.writableEnded) return;
      report(reason, nameAnswer(request, response));
      if (answer.headersSent) answer.destroy();
      else refuse(answer, 500, "server_error", "the server failed");
    });
  };
}

/** The provider for the keys of now: made at the first request, and again after the keys were rotated, by whichever process. */
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
 * The form of a grant by a user's key, in the name of the client that keys belong to; undefined for any other form. The signature
 * says who asks, and nothing else is looked at: ZITADEL's SDKs name no client, or send what their OAuth libraries make up, such as
 * `client_id=None` (Python), or the id and secret `zitadel` in Basic authentication (Ruby).
 */
function readKeyForm(body: Buffer): Buffer | undefined {
  const form = new URLSearchParams(body.toString());
  if (form.get("grant_type") !== jwtBearerGrant) return undefined;
  form.set("client_id", keyClientId);
  form.delete("client_secret");
  return Buffer.from(form.toString());
}

/**
 * The request target; a wish for offline access also asks for consent, as OpenID Connect Core 11 wants it and oidc-provider
 * insists on, and as ZITADEL's clients do not know.
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
