import type { JsonObject } from "@bufbuild/protobuf";
import { toStandardError } from "../call/failure.ts";
import { compress, responseEncodings } from "../http/encoding.ts";
import { type HttpRequest, type HttpResponse, rawPath, send } from "../http/http.ts";
import { aroundHandler, type ListenerHandler } from "../listener/handler.ts";
import { sendStatusAnswer } from "../listener/status-answer.ts";
import { isHeld, weakEtag } from "../rest/answer.ts";
import { chooseEncoding } from "../rest/negotiation.ts";

/** The forms of a document, by the path where it is served. */
const forms = {
  "/openapi.json": { form: "json", contentType: "application/json" },
  // RFC 9512.
  "/openapi.yaml": { form: "yaml", contentType: "application/yaml" },
} as const;
type DocumentPath = keyof typeof forms;

/** Where `withOpenApi` serves: the paths that no route of an API may have (`reservedPaths` of `createDispatch`). */
export const openApiPaths: readonly string[] = Object.keys(forms);

export interface OpenApiService {
  /** Makes the document, with the first call for each form of it. */
  document(): JsonObject | Promise<JsonObject>;
  /**
   * Told why the document could not be made. Its caller is answered with `internal`, and the next one has it tried again.
   * Default: it is written to standard error.
   */
  onFailure?(reason: unknown): void;
}

/** A document in one of its forms, and in every encoding that is worth it. */
interface Rendered {
  readonly etag: string;
  readonly bodies: ReadonlyMap<string, Buffer>;
}

/** A document as text, which ends with a line break. */
export async function renderOpenApi(document: JsonObject, form: "json" | "yaml"): Promise<string> {
  if (form === "json") return `${JSON.stringify(document, null, 2)}\n`;
  // Most servers are never asked for it.
  const { stringify } = await import("yaml");
  // Every schema once, as in JSON: not all programs know YAML's anchors.
  return stringify(document, { aliasDuplicateObjects: false });
}

/** Serves a document beside what a handler serves: `createOpenApiHandler` on its paths, and the handler on all others. */
export function withOpenApi(handler: ListenerHandler, service: OpenApiService): ListenerHandler {
  const serveOpenApi = createOpenApiHandler(service);
  return aroundHandler(handler, (request, response, next) => {
    const serve = isDocumentPath(rawPath(request)) ? serveOpenApi : handler;
    serve(request, response, next);
  });
}

/**
 * Serves a document at `/openapi.json` and `/openapi.yaml`, to everyone; any other path is its caller's mistake. The document is made
 * and compressed once, and a caller that has it gets 304 (If-None-Match). Throws a TypeError where `document` is no function.
 */
export function createOpenApiHandler(service: OpenApiService): ListenerHandler {
  const rendered = new Map<DocumentPath, Promise<Rendered>>();

  function renderOnce(path: DocumentPath): Promise<Rendered> {
    const known = rendered.get(path);
    if (known !== undefined) return known;
    const rendering = render(service, forms[path].form);
    rendered.set(path, rendering);
    // What fails now, such as for too many open files, may succeed later.
    rendering.catch(() => rendered.delete(path));
    return rendering;
  }

  async function serve(path: DocumentPath, request: HttpRequest, response: HttpResponse): Promise<void> {
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
  const plain = Buffer.from(await renderOpenApi(await service.document(), form));
  const bodies = new Map<string, Buffer>([["identity", plain]]);
  for (const encoding of responseEncodings) {
    const compressing = compress(plain, encoding);
    if (compressing !== undefined) bodies.set(encoding, await compressing);
  }
  return { etag: weakEtag(plain), bodies };
}
