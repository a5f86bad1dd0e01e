import { aroundHandler, type ListenerHandler, nameAnswer, openApiPaths, rawPath } from "@portcullis/rpc";
import { issuerRoutes } from "../auth/issuer/paths.ts";
import type { ObserveHttp } from "../telemetry/observe-http.ts";
import { debugPaths } from "./debug.ts";

/** A path that is no RPC. */
export interface WebRoute {
  /** A whole path, or the beginning of several and a `*`. */
  readonly path: string;
  readonly handler: ListenerHandler;
  /** Which pages of other origins may call it: those that may call the API, or those that the handler itself allows. */
  readonly cors: "as the API" | "by the handler";
  /** The label of its answers in metrics and in the log. Default: they are neither counted nor logged. */
  readonly label?: string;
}

/** The handlers. The API gets the requests of a handler that is absent. */
export interface WebHandlers {
  readonly openApi: ListenerHandler;
  readonly debug?: ListenerHandler;
  readonly issuer?: ListenerHandler;
}

/** Every path that is no RPC. A new page or document is a row here. */
export function createWebRoutes({ openApi, debug, issuer }: WebHandlers): readonly WebRoute[] {
  const routes: WebRoute[] = openApiPaths.map((path) => ({ path, handler: openApi, cors: "as the API", label: path }));
  if (debug !== undefined) {
    for (const path of [...debugPaths, "/debug/*"]) routes.push({ path, handler: debug, cors: "as the API" });
  }
  if (issuer !== undefined) {
    for (const path of issuerRoutes) routes.push({ path, handler: issuer, cors: "by the handler", label: path });
  }
  return routes;
}

/** The whole paths of a table. No HTTP rule of an RPC may use one of them. */
export const wholePaths = (routes: readonly WebRoute[]): readonly string[] =>
  routes.map(({ path }) => path).filter((path) => !path.endsWith("*"));

/** Serves the routes of a table, and the rest by the API's own handler. */
export function withWebRoutes(
  api: ListenerHandler,
  routes: readonly WebRoute[],
  options: {
    /** Lets the pages call that may call the API. */
    openToPages(handler: ListenerHandler): ListenerHandler;
    /** Default: nothing is counted or logged. */
    readonly observe?: ObserveHttp;
  },
): ListenerHandler {
  const { openToPages, observe } = options;
  const served = routes.map((route) => ({
    ...route,
    handler: route.cors === "as the API" ? openToPages(route.handler) : route.handler,
  }));
  const findRoute = createFindRoute(served);
  return aroundHandler(api, (request, response) => {
    nameAnswer(request, response);
    const route = findRoute(rawPath(request));
    if (route?.label !== undefined) observe?.(request, response, route.label);
    (route?.handler ?? api)(request, response);
  });
}

/** Finds the route of a path. A whole path comes first, then the beginnings in the order of the table. */
function createFindRoute(routes: readonly WebRoute[]): (path: string) => WebRoute | undefined {
  const whole = new Map(routes.map((route) => [route.path, route]));
  const beginnings = routes
    .filter(({ path }) => path.endsWith("*"))
    .map((route) => ({ route, beginning: route.path.slice(0, -1) }));
  return (path) => whole.get(path) ?? beginnings.find(({ beginning }) => path.startsWith(beginning))?.route;
}
