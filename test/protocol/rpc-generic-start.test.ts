import {
  clone,
  create,
  createFileRegistry,
  type DescService,
  type MessageInitShape,
  type Registry,
  setExtension,
} from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_descriptor,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { expect, it } from "vitest";
import { file_google_api_annotations, http } from "../../gen/google/api/annotations_pb.ts";
import { file_google_api_http, HttpRuleSchema } from "../../gen/google/api/http_pb.ts";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import { createRpcTable } from "../../src/rpc/router.ts";
import { EchoService, file_portcullis_test_v1_echo } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";

type Rule = MessageInitShape<typeof HttpRuleSchema>;

/** EchoService with other HTTP rules: those given, by RPC, and no more. */
function echoWithRules(rules: Readonly<Record<string, Rule>>): DescService {
  const file = clone(FileDescriptorProtoSchema, file_portcullis_test_v1_echo.proto);
  for (const method of file.service[0]?.method ?? []) {
    method.options = create(MethodOptionsSchema);
    const rule = rules[method.name];
    if (rule !== undefined) setExtension(method.options, http, create(HttpRuleSchema, rule));
  }
  const dependencies = [file_google_protobuf_descriptor, file_google_api_http, file_google_api_annotations];
  const set = create(FileDescriptorSetSchema, { file: [...dependencies.map(({ proto }) => proto), file] });
  const service = createFileRegistry(set).getService(EchoService.typeName);
  if (service === undefined) throw new Error("the service is lost");
  return service;
}

function start(...services: readonly DescService[]): void {
  const table = createRpcTable((router) => {
    for (const service of services) router.service(service, {});
  });
  createDispatch(table, {
    gate: () => {},
    interceptors: [],
    maxRequestBytes: 1_000,
    registry: {} as Registry,
    onFailure: () => {},
  });
}

const get = (value: string): Rule => ({ pattern: { case: "get", value } });
const post = (value: string, body = "*"): Rule => ({ pattern: { case: "post", value }, body });

it("starts with the rules of the proto, with none, and with rules that overlap", () => {
  start(EchoService);
  start(echoWithRules({}));
  start(
    echoWithRules({
      Say: post("/a/{room}"),
      GetRoom: get("/a/{room}"),
      Lobby: get("/a/lobby"),
      Typed: get("/{text}/b"),
    }),
  );
});

it.each([
  ["", "it does not start with a slash"],
  ["a/b", "no slash first"],
  ["/", "nothing"],
  ["/a/", "a slash last"],
  ["//a", "an empty segment"],
  ["/a//b", "an empty segment"],
  ["/a?x={room}", "a query"],
  ["/a b", "a blank"],
  ["/a%2Fb", "an escape"],
  ["/*", "a wildcard outside a variable"],
  ["/a/**", "a wildcard over segments"],
  ["/{room=**}", "a variable over segments"],
  ["/{room=a/*}", "a variable of several segments"],
  ["/{room}:verb", "a verb"],
  ["/a:verb", "a verb"],
  ["/x{room}", "a variable within a segment"],
  ["/{room", "a brace that does not close"],
  ["/room}", "a brace that does not open"],
  ["/{}", "a variable without a name"],
  ["/{1}", "a name that starts with a digit"],
  ["/{a-b}", "a name with a dash"],
  ["/{room.name}", "a dotted name"],
  ["/{room}/{room}", "a name twice"],
  ["/é", "a letter that is no ASCII"],
])("refuses the template %j and names the RPC: %s", (template) => {
  expect(() => start(echoWithRules({ GetRoom: get(template) }))).toThrow(/portcullis\.test\.v1\.EchoService\/GetRoom/);
});

it.each<[string, string, Rule]>([
  ["a field that the request does not have", "GetRoom", get("/a/{nope}")],
  ["a JSON name for a field", "GetRoom", get("/a/{Room}")],
  ["a field that is a message, by its path", "Typed", get("/a/{received}")],
  ["a body of one field", "Say", post("/a", "text")],
  ["a body that does not exist", "Say", post("/a", "nope")],
  ["a response body", "Say", { ...get("/a"), responseBody: "text" }],
  ["additional bindings", "Say", { ...get("/a"), additionalBindings: [create(HttpRuleSchema, get("/b"))] }],
  ["a verb of its own", "Say", { pattern: { case: "custom", value: { kind: "LIST", path: "/a" } } }],
  ["no verb", "Say", {}],
  ["a stream", "Count", get("/a")],
  ["the path of an RPC", "Say", post("/portcullis.test.v1.EchoService/Bare")],
])("refuses %s and names the RPC", (_, rpc, rule) => {
  expect(() => start(echoWithRules({ [rpc]: rule }))).toThrow(
    new RegExp(`portcullis\\.test\\.v1\\.EchoService/${rpc}`),
  );
});

it.each<[string, Rule, Rule]>([
  ["two literals", get("/a/b"), get("/a/b")],
  ["two variables of other names", get("/a/{room}"), get("/a/{text}")],
  ["a variable written in two ways", get("/a/{room}"), get("/a/{room=*}")],
])("refuses the same verb and path twice and names both RPCs: %s", (_, first, second) => {
  const attempt = () => start(echoWithRules({ Say: first, SayAgain: second, GetRoom: second }));
  // Whichever field the second names, both RPCs know `room`.
  const fitting = JSON.stringify(second).includes("text")
    ? { Say: second, GetRoom: first }
    : { Say: first, GetRoom: second };
  expect(() => start(echoWithRules(fitting))).toThrow(/EchoService\/(Say|GetRoom)[\s\S]*EchoService\/(GetRoom|Say)/);
  expect(attempt).toThrow();
});

it("takes the same path under two verbs", () => {
  start(echoWithRules({ Say: post("/a/{room}"), GetRoom: get("/a/{room}") }));
});

it("refuses a service that is registered twice", () => {
  expect(() => start(EchoService, EchoService)).toThrow("portcullis.test.v1.EchoService is registered twice");
});
