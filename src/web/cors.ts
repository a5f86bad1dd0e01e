import { corsDefaults, type ListenerHandler, requestIdHeader, withCors } from "@portcullis/rpc";

/**
 * What pages may send beside what their clients need: for whom, in which language, and as part of which trace. OpenTelemetry's
 * instrumentation of fetch adds the trace by itself, and one header that is not allowed keeps a page from calling at all. Pages
 * written for a grpc-gateway put its prefix before any of them.
 */
const pageHeaders = [
  "x-zitadel-orgid",
  "accept-language",
  "x-request-id",
  "traceparent",
  "tracestate",
  "grpc-metadata-*",
];

export interface CorsSettings {
  /** Origins whose pages may call; `*` for any. */
  readonly corsOrigins: readonly string[];
  /** Request headers that these pages may send beside those of the API: names, or beginnings of names and a `*`. Default: none. */
  readonly corsHeaders?: readonly string[];
}

/** Lets pages of other origins call a handler. */
export const openToPages = (
  handler: ListenerHandler,
  { corsOrigins, corsHeaders = [] }: CorsSettings,
): ListenerHandler =>
  withCors(handler, {
    origins: corsOrigins,
    allowHeaders: [...corsDefaults.allowHeaders, ...pageHeaders, ...corsHeaders],
    exposeHeaders: [...corsDefaults.exposeHeaders, "portcullis-policy", requestIdHeader],
  });
