import type { JsonObject } from "@bufbuild/protobuf";
import { toStandardError } from "../call/outcome.ts";
import { compress, responseEncodings } from "../http/content-coding.ts";
import { rawPath } from "../http/request.ts";
import { send } from "../http/response.ts";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import { aroundHandler, type ListenerHandler } from "../listener/handler.ts";
import { sendStatusAnswer } from "../listener/status-answer.ts";
import { isHeld, weakEtag } from "../rest/answer.ts";
import { chooseEncoding } from "../rest/negotiation.ts";
import { toYaml } from "./yaml.ts";

/** The forms of a document, by the path where it is served. */
const forms = {
  "/openapi.json": { form: "json", contentType: "application/json" },
  // RFC 9512.
  "/openapi.yaml": { form: "yaml", contentType: "application/yaml" },
} as const;
type DocumentPath = keyof typeof forms;

/** The paths of `withOpenApi`. Give them to `createDispatch` as `reservedPaths`, so that no route of an API takes one. */
export const openApiPaths: readonly string[] = Object.keys(forms);

export interface OpenApiService {
  /** Makes the document, at the first request for each form of it. */
  document(): JsonObject | Promise<JsonObject>;
  /**
   * Gets the reason when the document cannot be made. That caller is answered with `internal`; the next request tries again.
   * Default: the reason goes to standard error.
   */
  onFailure?(reason: unknown): void;
}

/** A document in one form, in every encoding that makes it smaller. */
interface Rendered {
  readonly etag: string;
  readonly bodies: ReadonlyMap<string, Buffer>;
}

/** Writes a document as text, with a line break at the end. */
export const renderOpenApi = (document: JsonObject, form: "json" | "yaml"): string =>
  form === "json" ? `${JSON.stringify(document, null, 2)}\n` : toYaml(document);

/** Serves a document beside what a handler serves: `createOpenApiHandler` on its paths, and the handler on all others. */
export function withOpenApi(handler: ListenerHandler, service: OpenApiService): ListenerHandler {
  const serveOpenApi = createOpenApiHandler(service);
  return aroundHandler(handler, (request, response, next) => {
    const serve = isDocumentPath(rawPath(request)) ? serveOpenApi : handler;
    serve(request, response, next);
  });
}

/**
 * Serves a document at `/openapi.json` and `/openapi.yaml`, without asking for a token; any other path is its caller's mistake. The
 * document is made and compressed once, and has an ETag. Throws a TypeError if `document` is not a function.
 */
export function createOpenApiHandler(service: OpenApiService): ListenerHandler {
  const rendered = new Map<DocumentPath, Promise<Rendered>>();

  function renderOnce(path: DocumentPath): Promise<Rendered> {
    const known = rendered.get(path);
    if (known !== undefined) return known;
    const rendering = render(service, forms[path].form);
    rendered.set(path, rendering);
    // A failure may pass, for example too many open files.
    rendering.catch(() => rendered.delete(path));
    return rendering;
  }

  async function serve(path: DocumentPath, request: ListenerRequest, response: ListenerResponse): Promise<void> {
    if (request.method === "OPTIONS") {
      return send(response, { status: 204, header: { allow, "cache-control": "no-store" } });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", allow);
      return sendStatusAnswer(response, { httpStatus: 405, code: 12, message: "Method Not Allowed" });
    }
    const { etag, bodies } = await renderOnce(path);
    const kept = { "cache-control": "no-cache", vary: "Accept-Encoding", etag };
    if (isHeld(request, etag)) return send(response, { status: 304, header: kept });
    const available = responseEncodings.filter((encoding) => bodies.has(encoding));
    const encoding = chooseEncoding(request.headers["accept-encoding"] as string | undefined, available);
    const body = bodies.get(encoding) as Buffer;
    const header = {
      ...kept,
      "content-type": forms[path].contentType,
      ...(encoding !== "identity" && { "content-encoding": encoding }),
    };
    if (request.method === "HEAD")
      send(response, { status: 200, header: { ...header, "content-length": body.length } });
    else send(response, { status: 200, header, body });
  }

  const { onFailure = toStandardError } = service;
  if (typeof service.document !== "function") {
    throw new TypeError("the option document of withOpenApi must be a function that makes the document");
  }

  return (request, response) => {
    serve(rawPath(request) as DocumentPath, request, response).catch((reason: unknown) => {
      onFailure(reason);
      sendStatusAnswer(response, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
    });
  };
}

const allow = "GET, HEAD, OPTIONS";

const isDocumentPath = (path: string): path is DocumentPath => Object.hasOwn(forms, path);

async function render(service: OpenApiService, form: "json" | "yaml"): Promise<Rendered> {
  const plain = Buffer.from(renderOpenApi(await service.document(), form));
  const bodies = new Map<string, Buffer>([["identity", plain]]);
  for (const encoding of responseEncodings) {
    const compressing = compress(plain, encoding);
    if (compressing !== undefined) bodies.set(encoding, await compressing);
  }
  return { etag: weakEtag(plain), bodies };
}
