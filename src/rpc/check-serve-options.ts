import { aFunction, type Check, checkOptions, listOf } from "./check-options.ts";
import type { CorsPolicy } from "./http/cors.ts";
import { defaultLimits, type ListenerLimits } from "./listener/limits.ts";
import type { TlsOptions } from "./listener/listener.ts";
import type { OpenApiOptions } from "./openapi/document.ts";

type Checks<Options> = { readonly [Name in keyof Options]-?: Check };

export const anObject: Check = {
  wanted: "an object",
  fits: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};
const headerNames = listOf("names of headers", (name) => typeof name === "string");
const aTime: Check = { wanted: "a number of 0 or more", fits: (value) => typeof value === "number" && value >= 0 };

const corsChecks: Checks<CorsPolicy> = {
  origins: listOf('origins as browsers send them, such as "https://app.example", or "*"', isOrigin),
  methods: listOf("methods", (name) => typeof name === "string"),
  allowHeaders: headerNames,
  exposeHeaders: headerNames,
  maxAgeSeconds: aTime,
};

const openApiChecks: Checks<OpenApiOptions> = {
  info: {
    wanted: "an object with a title and a version",
    fits: (value) => {
      const { title, version } = (value ?? {}) as { readonly title?: unknown; readonly version?: unknown };
      return typeof title === "string" && typeof version === "string";
    },
  },
  comments: { wanted: "what readComments returns", fits: anObject.fits },
  securitySchemes: anObject,
  security: listOf("objects", anObject.fits),
  isPublic: aFunction,
  headers: anObject,
  isRequired: aFunction,
};

/** Those of `ServeOptions` that are objects and have no check of their own. */
interface ServeParts {
  readonly tls?: TlsOptions;
  readonly cors?: Partial<CorsPolicy>;
  readonly openapi?: false | Partial<OpenApiOptions>;
  readonly limits?: Partial<ListenerLimits>;
}

const limitChecks = Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, aTime]));

/** Checks what the options of `serve` that are objects hold, as `checkOptions` checks the options themselves. */
export function checkParts({ tls, cors, openapi, limits }: ServeParts): void {
  if (tls !== undefined) checkTls(tls);
  if (cors !== undefined) checkOptions("cors of serve", cors, corsChecks);
  if (openapi) checkOptions("openapi of serve", openapi, openApiChecks);
  if (limits !== undefined) checkOptions("limits of serve", limits, limitChecks);
}

/** A value that does not fit is not shown: it may be a key. */
function checkTls(tls: TlsOptions): void {
  const known = ["cert", "key", "clientCa"];
  for (const name of Object.keys(tls)) {
    if (!known.includes(name)) throw new TypeError(`tls of serve has no option ${name}: it has ${known.join(", ")}`);
  }
  const { cert, key, clientCa } = tls;
  for (const [name, value] of Object.entries({ cert, key, ...(clientCa !== undefined && { clientCa }) })) {
    if (!/-----BEGIN /.test(String(value))) {
      throw new TypeError(`the option ${name} of tls must be the contents of a PEM file, and not its path`);
    }
  }
}

/** Others match no page: `https://app.example/`, `app.example`, `https://APP.example`. */
function isOrigin(text: unknown): boolean {
  if (typeof text !== "string") return false;
  if (text === "*" || text === "null") return true;
  // To Node, the origin of a scheme that it does not know, such as that of a browser's extensions, is "null".
  if (/^https?:/.test(text)) return URL.canParse(text) && new URL(text).origin === text;
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text);
}
