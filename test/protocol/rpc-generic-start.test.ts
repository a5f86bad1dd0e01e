import {
  clone,
  create,
  createFileRegistry,
  type DescService,
  type MessageInitShape,
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
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
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
  createDispatch(table);
}

const get = (value: string): Rule => ({ pattern: { case: "get", value } });
const post = (value: string, body = "*"): Rule => ({ pattern: { case: "post", value }, body });
const custom = (kind: string, path: string): Rule => ({ pattern: { case: "custom", value: { kind, path } } });
const rule = (init: Rule) => create(HttpRuleSchema, init);

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

it.each<[what: string, rpc: string, rule: Rule]>([
  ["the root", "GetRoom", get("/")],
  ["an escape", "GetRoom", get("/a%2Fb")],
  ["a wildcard outside a variable", "GetRoom", get("/*")],
  ["a wildcard over segments", "GetRoom", get("/a/**")],
  ["a variable over segments", "GetRoom", get("/{room=**}")],
  ["a variable of several segments", "GetRoom", get("/{room=a/*}")],
  ["a verb behind a variable", "GetRoom", get("/{room}:verb")],
  ["a verb behind a literal", "GetRoom", get("/a:verb")],
  ["a body of one field", "Say", post("/a", "text")],
  ["a response body", "Say", { ...get("/a"), responseBody: "text" }],
  ["additional bindings", "Say", { ...get("/a"), additionalBindings: [rule(get("/b")), rule(post("/a"))] }],
  ["a method of its own", "Say", custom("LIST", "/a")],
  ["any method", "Say", custom("*", "/a")],
  ["a stream of answers", "Count", get("/a")],
])("starts with %s", (_, rpc, wanted) => {
  start(echoWithRules({ [rpc]: wanted }));
});

it.each([
  ["", "it does not start with a slash"],
  ["a/b", "no slash first"],
  ["/a/", "a slash last"],
  ["//a", "an empty segment"],
  ["/a//b", "an empty segment"],
  ["/a?x={room}", "a query"],
  ["/a b", "a blank"],
  ["/a%2", "an escape that does not end"],
  ["/a%ff", "an escape that is no UTF-8"],
  ["/a/../b", "a segment of dots"],
  ["/a*", "a wildcard within a segment"],
  ["/***", "a wildcard too long"],
  ["/**/**", "a rest after the rest"],
  ["/{room=**}/a/**", "a rest after a variable of the rest"],
  ["/{room={text}}", "a variable in a variable"],
  ["/{room}:", "an empty verb"],
  ["/{room}:a:b", "two verbs"],
  ["/{room}:verb/a", "a segment after the verb"],
  ["/x{room}", "a variable within a segment"],
  ["/{room", "a brace that does not close"],
  ["/room}", "a brace that does not open"],
  ["/{}", "a variable without a name"],
  ["/{1}", "a name that starts with a digit"],
  ["/{a-b}", "a name with a dash"],
  ["/{room.name}", "a dotted name that leads through a text"],
  ["/{room.}", "a dotted name that does not end"],
  ["/{room}/{room}", "a name twice"],
  ["/é", "a letter that is no ASCII"],
])("refuses the template %j and names the RPC: %s", (template) => {
  expect(() => start(echoWithRules({ GetRoom: get(template) }))).toThrow(/portcullis\.test\.v1\.EchoService\/GetRoom/);
});

it.each<[string, string, Rule]>([
  ["a field that the request does not have", "GetRoom", get("/a/{nope}")],
  ["a JSON name for a field", "GetRoom", get("/a/{Room}")],
  ["a field that is a message, by its path", "Typed", get("/a/{received}")],
  ["a body that does not exist", "Say", post("/a", "nope")],
  ["a body that is in the path too", "Say", post("/a/{text}", "text")],
  ["a body of GET", "Say", { ...get("/a"), body: "*" }],
  ["a response body that does not exist", "Say", { ...get("/a"), responseBody: "nope" }],
  ["an additional binding that is wrong", "Say", { ...get("/a"), additionalBindings: [rule(get("/b/"))] }],
  [
    "additional bindings of an additional binding",
    "Say",
    { ...get("/a"), additionalBindings: [rule({ ...get("/b"), additionalBindings: [rule(get("/c"))] })] },
  ],
  ["an additional binding of the same path", "Say", { ...get("/a"), additionalBindings: [rule(get("/a"))] }],
  ["a method that is no token", "Say", custom("G E T", "/a")],
  ["a method of proxies", "Say", custom("CONNECT", "/a")],
  ["no method", "Say", {}],
  ["the path of an RPC", "Say", post("/portcullis.test.v1.EchoService/Bare")],
  ["the path of an RPC, for any method", "Say", custom("*", "/portcullis.test.v1.EchoService/Bare")],
  // Which is where Connect's own GET and its 405 are answered.
  ["the path of an RPC, for another method than its own", "Say", get("/portcullis.test.v1.EchoService/Bare")],
])("refuses %s and names the RPC", (_, rpc, wrong) => {
  expect(() => start(echoWithRules({ [rpc]: wrong }))).toThrow(
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
