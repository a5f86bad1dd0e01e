import { type HttpRequest, type HttpResponse, rawPath, send } from "./rpc/http.ts";
import { sendStatusAnswer } from "./rpc/listener/status-answer.ts";
import { isHeld, weakEtag } from "./rpc/rest/answer.ts";

/** The forms of the OpenAPI document, by the path where it is served, to everyone. */
const contentTypes = {
  "/openapi.json": "application/json",
  // RFC 9512.
  "/openapi.yaml": "application/yaml",
} as const;
type DocumentPath = keyof typeof contentTypes;

export const isDocumentPath = (path: string): path is DocumentPath => Object.hasOwn(contentTypes, path);

/** The paths that no route of the API may have. */
export const documentPaths: readonly string[] = Object.keys(contentTypes);

/** The OpenAPI document as JSON or YAML. What makes it is loaded with the first call: a server seldom needs it. */
export async function renderDocument(form: "json" | "yaml"): Promise<string> {
  const [{ createApiDocument }, { version }] = await Promise.all([import("./openapi.ts"), import("./version.ts")]);
  const document = createApiDocument(version);
  if (form === "json") return `${JSON.stringify(document, null, 2)}\n`;
  const { stringify } = await import("yaml");
  // Every schema once, as in JSON: not all programs know YAML's anchors.
  return stringify(document, { aliasDuplicateObjects: false });
}

/** Serves the document to GET and HEAD; a caller that has it is told so (If-None-Match). */
export function createDocumentHandler(report: (reason: unknown) => void) {
  const rendered = new Map<DocumentPath, Promise<Buffer>>();

  async function serve(request: HttpRequest, response: HttpResponse): Promise<void> {
    const path = rawPath(request) as DocumentPath;
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return sendStatusAnswer(response, { httpStatus: 405, code: 12, message: "Method Not Allowed" });
    }
    const rendering =
      rendered.get(path) ??
      renderDocument(path === "/openapi.json" ? "json" : "yaml").then((text) => Buffer.from(text));
    rendered.set(path, rendering);
    // What fails now, such as for too many open files, may succeed later.
    rendering.catch(() => rendered.delete(path));
    const body = await rendering;
    const etag = weakEtag(body);
    const header = { "content-type": contentTypes[path], "cache-control": "no-cache", etag };
    if (isHeld(request, etag)) send(response, { status: 304, header });
    else if (request.method === "HEAD")
      send(response, { status: 200, header: { ...header, "content-length": body.length } });
    else send(response, { status: 200, header, body });
  }

  return (request: HttpRequest, response: HttpResponse): void => {
    serve(request, response).catch((reason: unknown) => {
      report(reason);
      sendStatusAnswer(response, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
    });
  };
}
