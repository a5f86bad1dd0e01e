import {
  type ListenerHandler,
  type ListenerRequest,
  type ListenerResponse,
  nameAnswer,
  rawPath,
  send,
  sendStatusAnswer,
} from "@portcullis/rpc";
import type { Readiness } from "../process/readiness.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** The paths for operators and their tools. */
export const debugPaths = ["/debug/healthz", "/debug/ready", "/debug/metrics"];

/**
 * Answers whether the process lives, whether it is ready for calls, and its metrics. It asks for no token, as ZITADEL does not: an
 * operator can give it an address of its own (`--debug-listen`).
 */
export function createDebugHandler(options: {
  readonly readiness: Readiness;
  /** Absent: `/debug/metrics` is not found. */
  readonly metrics?: Metrics;
  onFailure(reason: unknown): void;
}): ListenerHandler {
  const { readiness, metrics, onFailure } = options;

  async function answer(
    path: string,
  ): Promise<{ readonly status: number; readonly type: string; readonly text: string } | undefined> {
    switch (path) {
      case "/debug/healthz":
        return { status: 200, type: plainText, text: "ok\n" };
      case "/debug/ready": {
        const { isReady, reasons } = readiness;
        const text = isReady ? "ok\n" : `not ready: ${reasons.join(", ")}\n`;
        return { status: isReady ? 200 : 503, type: plainText, text };
      }
      case "/debug/metrics": {
        if (metrics === undefined) return undefined;
        const { contentType, text } = await metrics.render();
        return { status: 200, type: contentType, text };
      }
      default:
        return undefined;
    }
  }

  async function serve(request: ListenerRequest, response: ListenerResponse): Promise<void> {
    const path = rawPath(request);
    if (!debugPaths.includes(path)) return sendStatusAnswer(response, notFound);
    if (request.method === "OPTIONS") {
      return send(response, { status: 204, header: { allow, "cache-control": "no-store" } });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", allow);
      return sendStatusAnswer(response, { httpStatus: 405, code: 12, message: "Method Not Allowed" });
    }
    const found = await answer(path);
    if (found === undefined) return sendStatusAnswer(response, notFound);
    const body = Buffer.from(found.text);
    const header = { "content-type": found.type, "cache-control": "no-store" };
    if (request.method === "HEAD") {
      send(response, { status: found.status, header: { ...header, "content-length": body.length } });
    } else {
      send(response, { status: found.status, header, body });
    }
  }

  return (request, response) => {
    nameAnswer(request, response);
    serve(request, response).catch((reason: unknown) => {
      onFailure(reason);
      sendStatusAnswer(response, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
    });
  };
}

const allow = "GET, HEAD, OPTIONS";
const notFound = { httpStatus: 404, code: 5, message: "Not Found" };
const plainText = "text/plain; charset=utf-8";
