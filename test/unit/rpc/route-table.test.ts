import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { HttpRuleSchema } from "../../../gen/google/api/http_pb.ts";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { createRouteTable, type MatchRoute } from "../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../src/rpc/router.ts";
import { serviceOf } from "../../fixtures/builders.ts";

type Rule = MessageInitShape<typeof HttpRuleSchema>;

const to = (
  verb: "get" | "put" | "post" | "delete" | "patch",
  path: string,
  more: Omit<Rule, "pattern" | "$typeName"> = {},
): Rule => ({
  ...more,
  pattern: { case: verb, value: path },
});

/** A table of one service `test.Things` whose RPCs have these rules. */
function tableOf(rules: Readonly<Record<string, Rule | undefined>>, clientStreaming = false): MatchRoute {
  const methods = Object.entries(rules).map(([name, rule]) => ({ name, ...(rule && { rule }), clientStreaming }));
  const service = serviceOf(...methods);
  return createRouteTable(createRpcTable((router) => router.service(service, {})));
}

/** What a match says, in a form to compare. */
function outcome(match: MatchRoute, verb: string, path: string): string {
  const found = match(verb, path);
  switch (found.kind) {
    case "found":
      return [found.route.rpc.spec.method.name, ...found.pathValues.map((value) => JSON.stringify(value))].join(" ");
    case "wrong_verb":
      return `allow ${found.allow.join(", ")}`;
    default:
      return found.kind;
  }
}

const management = "/management/v1/policies";
const admin = "/admin/v1/policies";

// The published routes.
const published: readonly [verb: string, path: string, service: string, rpc: string, hasBody: boolean][] = [
  ["GET", `${management}/login`, "management", "GetLoginPolicy", false],
  ["GET", `${management}/default/login`, "management", "GetDefaultLoginPolicy", false],
  ["POST", `${management}/login`, "management", "AddCustomLoginPolicy", true],
  ["PUT", `${management}/login`, "management", "UpdateCustomLoginPolicy", true],
  ["DELETE", `${management}/login`, "management", "ResetLoginPolicyToDefault", false],
  ["POST", `${management}/login/idps/_search`, "management", "ListLoginPolicyIDPs", true],
  ["POST", `${management}/login/idps`, "management", "AddIDPToLoginPolicy", true],
  ["DELETE", `${management}/login/idps/7`, "management", "RemoveIDPFromLoginPolicy", false],
  ["POST", `${management}/login/second_factors/_search`, "management", "ListLoginPolicySecondFactors", false],
  ["POST", `${management}/login/second_factors`, "management", "AddSecondFactorToLoginPolicy", true],
  ["DELETE", `${management}/login/second_factors/1`, "management", "RemoveSecondFactorFromLoginPolicy", false],
  ["POST", `${management}/login/auth_factors/_search`, "management", "ListLoginPolicyMultiFactors", false],
  ["POST", `${management}/login/multi_factors`, "management", "AddMultiFactorToLoginPolicy", true],
  ["DELETE", `${management}/login/multi_factors/1`, "management", "RemoveMultiFactorFromLoginPolicy", false],
  ["GET", `${admin}/login`, "admin", "GetLoginPolicy", false],
  ["PUT", `${admin}/login`, "admin", "UpdateLoginPolicy", true],
  ["POST", `${admin}/login/idps/_search`, "admin", "ListLoginPolicyIDPs", true],
  ["POST", `${admin}/login/idps`, "admin", "AddIDPToLoginPolicy", true],
  ["DELETE", `${admin}/login/idps/7`, "admin", "RemoveIDPFromLoginPolicy", false],
  ["POST", `${admin}/login/second_factors/_search`, "admin", "ListLoginPolicySecondFactors", false],
  ["POST", `${admin}/login/second_factors`, "admin", "AddSecondFactorToLoginPolicy", true],
  ["DELETE", `${admin}/login/second_factors/1`, "admin", "RemoveSecondFactorFromLoginPolicy", false],
  ["POST", `${admin}/login/multi_factors/_search`, "admin", "ListLoginPolicyMultiFactors", false],
  ["POST", `${admin}/login/multi_factors`, "admin", "AddMultiFactorToLoginPolicy", true],
  ["DELETE", `${admin}/login/multi_factors/1`, "admin", "RemoveMultiFactorFromLoginPolicy", false],
];

describe("the routes of the wire API", () => {
  const match = createRouteTable(
    createRpcTable((router) => {
      router.service(ManagementService, {});
      router.service(AdminService, {});
    }),
  );

  it.each(published)("%s %s is %s %s", (verb, path, scope, rpc, hasBody) => {
    const found = match(verb, path);
    if (found.kind !== "found") throw new Error(found.kind);
    expect(found.route).toMatchObject({
      rpc: { path: `/zitadel.${scope}.v1.${scope === "admin" ? "Admin" : "Management"}Service/${rpc}` },
      verb,
      hasBody,
    });
  });

  it("are 25", () => {
    expect(new Set(published.map(([, , service, rpc]) => `${service} ${rpc}`)).size).toBe(25);
  });

  it.each([
    ["PATCH", `${management}/login`, "allow DELETE, GET, POST, PUT"],
    ["DELETE", `${admin}/login`, "allow GET, PUT"],
    ["GET", `${management}/login/second_factors`, "allow POST"],
    ["GET", `${management}/login/second_factors/1`, "allow DELETE"],
    ["GET", `${management}/login/second_factors/_search`, "allow DELETE, POST"],
    ["get", `${management}/login`, "allow DELETE, GET, POST, PUT"],
    ["POST", `${management}/login/multi_factors/_search`, "allow DELETE"],
    ["POST", `${management}/login/idps/`, "not_found"],
    ["GET", `${management}/login/`, "not_found"],
    ["GET", `${management}`, "not_found"],
    ["GET", "/policies/login", "not_found"],
    ["GET", "/", "not_found"],
    ["GET", "", "not_found"],
    ["OPTIONS", "*", "not_found"],
    ["GET", `http://host${management}/login`, "not_found"],
    ["GET", `${management}/LOGIN`, "not_found"],
    ["GET", `/${management}/login`, "not_found"],
  ])("%s %s: %s", (verb, path, wanted) => {
    expect(outcome(match, verb, path)).toBe(wanted);
  });
});

describe("matching", () => {
  const match = tableOf({
    List: to("get", "/things"),
    Create: to("post", "/things", { body: "*" }),
    Search: to("post", "/things/_search"),
    Get: to("get", "/things/{name}"),
    Rename: to("post", "/things/{name}/{display_name}"),
    Deep: to("get", "/{name}/deep"),
    Special: to("get", "/things/special/{name}/end"),
    General: to("get", "/things/{name}/{count}/stop"),
  });

  it.each([
    ["GET", "/things", "List"],
    ["GET", "/things/1", 'Get "1"'],
    ["POST", "/things/_search", "Search"],
    // A literal beats a variable, but a verb that only the variable's route has is still found there.
    ["GET", "/things/_search", 'Get "_search"'],
    ["PUT", "/things/_search", "allow GET, POST"],
    ["GET", "/things/deep", 'Get "deep"'],
    ["GET", "/other/deep", 'Deep "other"'],
    // Goes into the literal "special" and comes back for the variable.
    ["GET", "/things/special/a/end", 'Special "a"'],
    ["GET", "/things/special/a/stop", 'General "special" "a"'],
    ["POST", "/things/special/a", 'Rename "special" "a"'],
    ["GET", "/things/a/b/c", "not_found"],
    ["DELETE", "/things", "allow GET, POST"],
    ["PUT", "/things/1", "allow GET"],
    ["HEAD", "/things", "allow GET, POST"],
    // Empty segments are in no route, and no variable takes one.
    ["GET", "/things/", "not_found"],
    ["GET", "//things", "not_found"],
    ["GET", "/things//stop", "not_found"],
    ["POST", "/things//x", "not_found"],
    ["GET", "//deep", "not_found"],
    ["GET", "things", "not_found"],
    // Values are decoded once, after the path is split.
    ["GET", "/things/a%2Fb", 'Get "a/b"'],
    ["GET", "/things/a%2fb%20c", 'Get "a/b c"'],
    ["GET", "/things/%252F", 'Get "%2F"'],
    ["GET", "/things/a+b", 'Get "a+b"'],
    ["GET", "/things/%e2%82%ac", 'Get "€"'],
    ["GET", "/things/a:b", 'Get "a:b"'],
    ["GET", "/things/..", 'Get ".."'],
    ["POST", "/things/a%2Fb/c%2Fd", 'Rename "a/b" "c/d"'],
    ["GET", "/things/%", "bad_escape"],
    ["GET", "/things/%2", "bad_escape"],
    ["GET", "/things/%zz", "bad_escape"],
    ["GET", "/things/%ff", "bad_escape"],
    ["GET", "/things/%c3%28", "bad_escape"],
    ["POST", "/things/ok/%ff", "bad_escape"],
    ["PUT", "/things/%ff", "allow GET"],
    ["GET", "/%ff", "not_found"],
    // Names of Object.prototype are names like any other.
    ["GET", "/constructor", "not_found"],
    ["GET", "/things/__proto__", 'Get "__proto__"'],
    ["constructor", "/things", "allow GET, POST"],
  ])("%s %s: %s", (verb, path, wanted) => {
    expect(outcome(match, verb, path)).toBe(wanted);
  });

  it("reads the value that each variable names, in the order of the variables", () => {
    const found = match("POST", "/things/a/b");
    if (found.kind !== "found") throw new Error(found.kind);
    expect(found.route.pathFields.map((field) => field.name)).toEqual(["name", "display_name"]);
    expect(found.route.hasBody).toBe(false);
  });

  it("stays quick where every segment could be a literal or a variable", () => {
    const depth = 12;
    const names = ["name", "count", "big", "flag", "color", "display_name"];
    const rules: Record<string, Rule> = {};
    // All mixtures of literals and variables over the first six segments, then literals.
    for (let mask = 0; mask < 1 << names.length; mask++) {
      const head = names.map((name, bit) => (mask & (1 << bit) ? `{${name}}` : "x"));
      rules[`M${mask}`] = to("get", `/${[...head, ...Array(depth - names.length).fill("x")].join("/")}`);
    }
    const wide = tableOf(rules);
    expect(outcome(wide, "GET", `/${Array(depth).fill("x").join("/")}`)).toBe("M0");
    expect(
      outcome(
        wide,
        "GET",
        `/${Array(depth - 1)
          .fill("x")
          .join("/")}/y`,
      ),
    ).toBe("not_found");
    expect(outcome(wide, "POST", `/${Array(depth).fill("x").join("/")}`)).toBe("allow GET");
  });
});

describe("createRouteTable", () => {
  it("leaves out an RPC without a rule", () => {
    expect(outcome(tableOf({ Plain: undefined }), "POST", "/test.Things/Plain")).toBe("not_found");
  });

  it.each(["get", "put", "post", "delete", "patch"] as const)("serves the verb %s", (verb) => {
    expect(outcome(tableOf({ Do: to(verb, "/x") }), verb.toUpperCase(), "/x")).toBe("Do");
  });

  it("takes the same path under several verbs, and path variables of a POST with a body", () => {
    const match = tableOf({ Read: to("get", "/x/{name}"), Write: to("post", "/x/{display_name}", { body: "*" }) });
    expect(outcome(match, "GET", "/x/1")).toBe('Read "1"');
    const found = match("POST", "/x/1");
    expect(found).toMatchObject({ kind: "found", pathValues: ["1"], route: { hasBody: true } });
  });

  it.each<[what: string, rules: Record<string, Rule>, message: string]>([
    [
      "two rules of one path",
      { First: to("get", "/x"), Second: to("get", "/x") },
      "Second: has the same verb and path as that of /test.Things/First",
    ],
    [
      "two rules of one shape",
      { First: to("get", "/x/{name}"), Second: to("get", "/x/{count=*}") },
      "Second: has the same verb and path as that of /test.Things/First",
    ],
    ["an unknown field", { Do: to("get", "/x/{nothing}") }, "Do: test.Thing has no field nothing"],
    ["a field by its JSON name", { Do: to("get", "/x/{displayName}") }, "Do: test.Thing has no field displayName"],
    [
      "a message field",
      { Do: to("get", "/x/{inner}") },
      "Do: field inner of test.Thing is neither a scalar nor an enum",
    ],
    [
      "a repeated field",
      { Do: to("get", "/x/{words}") },
      "Do: field words of test.Thing is neither a scalar nor an enum",
    ],
    ["a map", { Do: to("get", "/x/{by_key}") }, "Do: field by_key of test.Thing is neither a scalar nor an enum"],
    [
      "a body that is a field",
      { Do: to("post", "/x", { body: "inner" }) },
      'Do: the body must be "*" or absent, not "inner"',
    ],
    ["a response_body", { Do: to("get", "/x", { responseBody: "inner" }) }, "Do: response_body is not supported"],
    [
      "additional bindings",
      { Do: to("get", "/x", { additionalBindings: [to("get", "/y")] }) },
      "Do: additional bindings are not supported",
    ],
    ["no pattern", { Do: {} }, "Do: it needs a standard verb"],
    [
      "a custom verb",
      { Do: { pattern: { case: "custom", value: { kind: "HEAD", path: "/x" } } } },
      "Do: it needs a standard verb",
    ],
    ["a bad template", { Do: to("get", "x") }, 'Do: path template "x" does not start with a slash'],
  ])("throws for %s", (_, rules, message) => {
    expect(() => tableOf(rules)).toThrow(new Error(`the HTTP rule of /test.Things/${message}`));
  });

  it("throws for an RPC that is not unary", () => {
    expect(() => tableOf({ Upload: to("post", "/x") }, true)).toThrow(
      new Error("the HTTP rule of /test.Things/Upload: only unary RPCs are served as REST"),
    );
  });
});
