import { corsDefaults, type ListenerHandler, withCors } from "@portcullis/rpc";
import { organizationHeader, policyHeader } from "../wire-names.ts";

/**
 * Headers that pages send beside those of their protocol. OpenTelemetry's instrumentation of fetch adds the trace by itself, and a
 * browser blocks the whole call for one header that is not allowed. Pages made for grpc-gateway put its prefix before any of them.
 */
const pageHeaders = [
  organizationHeader,
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
    exposeHeaders: [...corsDefaults.exposeHeaders, policyHeader],
  });
