import { create, createRegistry, type Message, toJsonString } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { bindPath } from "../../src/rpc/rest/path-binding.ts";
import { bindQuery } from "../../src/rpc/rest/query.ts";
import { createRouteTable, type RouteTable } from "../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { serviceOf } from "../../test/fixtures/builders.ts";
import type { Effort } from "../environment.ts";
import type { Report } from "../report.ts";
import { ratiosOf } from "../statistics.ts";

const calls = 20_000;
const registry = createRegistry();

/** The 14 routes of an organization, and others of the same kind beside them up to the wanted number. */
function tableOf(count: number): RouteTable {
  const methods = Array.from({ length: Math.max(0, count - ManagementService.methods.length) }, (_, index) => ({
    name: `Get${index}`,
    rule: { pattern: { case: "get" as const, value: `/v1/kind${index % 50}/{name}/part${index}` } },
  }));
  const rpcs = createRpcTable((router) => {
    router.service(ManagementService, {});
    if (methods.length > 0) router.service(serviceOf(...methods), {});
  });
  return createRouteTable(rpcs);
}

/** Match, bind path and query, write the answer. */
function serve(table: RouteTable): string {
  const path = "/management/v1/policies/login/idps/217483512585439404";
  const match = table.match("DELETE", path);
  if (match.kind !== "found") throw new Error(match.kind);
  const { route, pathValues } = match;
  const message: Message = create(route.rpc.spec.method.input);
  const target = reflect(route.rpc.spec.method.input, message);
  bindQuery(target, route, "", { registry, ignoreUnknown: true });
  bindPath(target, route, { pathValues, overrides: true, registry });
  return toJsonString(route.rpc.spec.method.output, create(route.rpc.spec.method.output), { alwaysEmitImplicit: true });
}

/** Microseconds per request. */
function measure(table: RouteTable): number {
  const started = performance.now();
  for (let call = 0; call < calls; call += 1) serve(table);
  return ((performance.now() - started) * 1000) / calls;
}

/** What the REST transcoder itself costs per request, by the number of routes. */
export async function measureTranscoder({ rounds }: Effort): Promise<Report> {
  const few = { table: tableOf(25), times: [] as number[] };
  const many = { table: tableOf(2000), times: [] as number[] };
  for (const { table } of [few, many]) measure(table);
  for (let round = 0; round < rounds; round += 1) {
    for (const { table, times } of [few, many]) times.push(measure(table));
  }
  const name = ({ table }: typeof few) => `a request to one of ${table.routes.length} routes`;
  return {
    rows: [{ what: `${name(many)} / ${few.table.routes.length}`, ratios: ratiosOf(many.times, few.times) }],
    figures: [few, many].map((one) => ({ what: name(one), unit: "µs", values: one.times })),
  };
}
