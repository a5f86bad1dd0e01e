/**
 * Serves Connect services on gRPC, gRPC-Web, Connect and REST JSON, on one port. `serve` does so with one call; its parts are a table
 * of RPCs, a dispatch over it, and a listener. README.md lists all of this as the public API.
 */
export type { CallOptions, Gate } from "./call/admit.ts";
export { CallerTurns, type CallerTurnsOptions, callerKey } from "./call/caller-turns.ts";
export type { Observe, ObservedCall, OnFailure, Outcome, ProtocolName } from "./call/outcome.ts";
export type { PublicStreamOptions } from "./call/public-streams.ts";
export { requestIdOf } from "./call/request-id.ts";
export { createDispatch, type Dispatch } from "./dispatch.ts";
export type { DispatchOptions } from "./dispatch-options.ts";
export { Health } from "./gen/grpc/health/v1/health_pb.ts";
export { ServerReflection } from "./gen/grpc/reflection/v1/reflection_pb.ts";
export { ServerReflection as ServerReflectionV1Alpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.ts";
export { type CorsPolicy, corsDefaults, withCors } from "./http/cors.ts";
export { type RequestHead, rawPath } from "./http/request.ts";
export { isGone, onClose, send } from "./http/response.ts";
export {
  aroundHandler,
  type ListenerHandler,
  type ListenerRequest,
  type ListenerResponse,
  type StreamHandler,
} from "./listener/handler.ts";
export { defaultLimits, type ListenerLimits } from "./listener/limits.ts";
export { type Listener, openListener, type TlsOptions } from "./listener/listener.ts";
export { nameAnswer, requestIdHeader } from "./listener/request-id.ts";
export { sendStatusAnswer } from "./listener/status-answer.ts";
export { type Comments, readComments } from "./openapi/comments.ts";
export { createOpenApi, type OpenApiOptions } from "./openapi/document.ts";
export {
  createOpenApiHandler,
  type OpenApiService,
  openApiPaths,
  renderOpenApi,
  withOpenApi,
} from "./openapi/serve.ts";
export { createRouteTable, type Route, type RouteTable } from "./rest/route-table.ts";
export { createRpcTable, type Router, type RpcTable } from "./rpc-table.ts";
export { type ServeOptions, serve } from "./serve.ts";
export { createHealthService, type HealthOptions, type Readiness } from "./services/health.ts";
export { createReflectionServices, type ReflectionOptions, type ReflectionServices } from "./services/reflection.ts";
