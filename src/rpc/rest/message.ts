import { create, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Exchange } from "../call/exchange.ts";
import { readTimeout } from "../call/timeout.ts";
import { rawQuery } from "../http/request.ts";
import { mergeBody } from "./body.ts";
import { bindHeaders } from "./header-fields.ts";
import type { RestSettings } from "./options.ts";
import { bindPath } from "./path-binding.ts";
import { bindQuery } from "./query.ts";
import type { RestTarget } from "./route-table.ts";

/** REST has no such header of its own, so it takes all that callers know. */
export const timeHeaders = ["grpc-timeout", "connect-timeout-ms", "x-server-timeout"] as const;

/** Reads the request message: body, then query, then headers, then path, which nothing overrides. */
export async function readMessage(
  exchange: Exchange,
  { route, pathValues }: RestTarget,
  options: Pick<RestSettings, "maxRequestBytes" | "registry" | "ignoreUnknown">,
): Promise<Message> {
  const { head } = exchange;
  const { maxRequestBytes: maxBytes, registry } = options;
  // After the gate, as on every protocol.
  const { error } = readTimeout(head.headers, ...timeHeaders);
  if (error !== undefined) throw error;
  const { method } = route.rpc.spec;
  const { input } = method;
  const ignoreUnknown = options.ignoreUnknown(method);
  const message = create(input);
  const target = reflect(input, message);
  await mergeBody(target, route, exchange, { maxBytes, registry, ignoreUnknown });
  const query = rawQuery(head);
  if (query !== "") bindQuery(target, route, query, { registry, ignoreUnknown });
  bindHeaders(target, route.headers, { headers: head.headers, registry });
  bindPath(target, route, { pathValues, overrides: ignoreUnknown, registry });
  return message;
}
