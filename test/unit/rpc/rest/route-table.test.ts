import { describe, expect, it, vi } from "vitest";
import { AdminService } from "../../../../gen/zitadel/admin_pb.ts";
import { AuthService } from "../../../../gen/zitadel/auth_pb.ts";
import { ManagementService } from "../../../../gen/zitadel/management_pb.ts";
import { createRouteTable, type RouteTable } from "../../../../src/rpc/rest/route-table.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { type HttpRuleInit, routesOf, ruleOf, serviceOf, type WantedMethod } from "../../../fixtures/builders.ts";

/** A table of one service `test.Things` whose RPCs have these rules: a path for GET, or a whole rule. */
const tableOf = (rules: Readonly<Record<string, HttpRuleInit | string | undefined>>): RouteTable =>
  routesOf(...methodsOf(rules));

const methodsOf = (rules: Readonly<Record<string, HttpRuleInit | string | undefined>>): WantedMethod[] =>
  Object.entries(rules).map(([name, rule]) => ({
    name,
    ...(rule !== undefined && { rule: typeof rule === "string" ? ruleOf("get", rule) : rule }),
  }));

/** What a match says, in a form to compare. */
function outcome(table: RouteTable, method: string, path: string): string {
  const found = table.match(method, path);
  switch (found.kind) {
    case "found":
      return [found.route.rpc.spec.method.name, ...found.pathValues.map((value) => JSON.stringify(value))].join(" ");
    case "wrong_method":
      return `allow ${found.allow.join(", ")}`;
    default:
      return found.kind;
  }
}

const management = "/management/v1/policies";
const admin = "/admin/v1/policies";

// The published routes that are served.
const published: readonly [method: string, path: string, service: string, rpc: string, body?: "whole"][] = [
  ["GET", "/management/v1/healthz", "management", "Healthz"],
  ["GET", "/admin/v1/healthz", "admin", "Healthz"],
  ["GET", "/auth/v1/healthz", "auth", "Healthz"],
  ["GET", `${management}/login`, "management", "GetLoginPolicy"],
  ["GET", `${management}/default/login`, "management", "GetDefaultLoginPolicy"],
  ["POST", `${management}/login`, "management", "AddCustomLoginPolicy", "whole"],
  ["PUT", `${management}/login`, "management", "UpdateCustomLoginPolicy", "whole"],
  ["DELETE", `${management}/login`, "management", "ResetLoginPolicyToDefault"],
  ["POST", `${management}/login/idps/_search`, "management", "ListLoginPolicyIDPs", "whole"],
  ["POST", `${management}/login/idps`, "management", "AddIDPToLoginPolicy", "whole"],
  ["DELETE", `${management}/login/idps/7`, "management", "RemoveIDPFromLoginPolicy"],
  ["POST", `${management}/login/second_factors/_search`, "management", "ListLoginPolicySecondFactors"],
  ["POST", `${management}/login/second_factors`, "management", "AddSecondFactorToLoginPolicy", "whole"],
  ["DELETE", `${management}/login/second_factors/1`, "management", "RemoveSecondFactorFromLoginPolicy"],
  ["POST", `${management}/login/auth_factors/_search`, "management", "ListLoginPolicyMultiFactors"],
  ["POST", `${management}/login/multi_factors`, "management", "AddMultiFactorToLoginPolicy", "whole"],
  ["DELETE", `${management}/login/multi_factors/1`, "management", "RemoveMultiFactorFromLoginPolicy"],
  ["GET", `${admin}/login`, "admin", "GetLoginPolicy"],
  ["PUT", `${admin}/login`, "admin", "UpdateLoginPolicy", "whole"],
  ["POST", `${admin}/login/idps/_search`, "admin", "ListLoginPolicyIDPs", "whole"],
  ["POST", `${admin}/login/idps`, "admin", "AddIDPToLoginPolicy", "whole"],
  ["DELETE", `${admin}/login/idps/7`, "admin", "RemoveIDPFromLoginPolicy"],
  ["POST", `${admin}/login/second_factors/_search`, "admin", "ListLoginPolicySecondFactors"],
  ["POST", `${admin}/login/second_factors`, "admin", "AddSecondFactorToLoginPolicy", "whole"],
  ["DELETE", `${admin}/login/second_factors/1`, "admin", "RemoveSecondFactorFromLoginPolicy"],
  ["POST", `${admin}/login/multi_factors/_search`, "admin", "ListLoginPolicyMultiFactors"],
  ["POST", `${admin}/login/multi_factors`, "admin", "AddMultiFactorToLoginPolicy", "whole"],
  ["DELETE", `${admin}/login/multi_factors/1`, "admin", "RemoveMultiFactorFromLoginPolicy"],
];

describe("the routes of the wire API", () => {
  const table = createRouteTable(
    createRpcTable((router) => {
      router.service(ManagementService, {});
      router.service(AdminService, {});
      router.service(AuthService, {});
    }),
  );

  it.each(published)("%s %s is %s %s", (method, path, scope, rpc, body) => {
    const found = table.match(method, path);
    if (found.kind !== "found") throw new Error(found.kind);
    expect(found.route).toMatchObject({
      rpc: { path: `/zitadel.${scope}.v1.${scope.charAt(0).toUpperCase()}${scope.slice(1)}Service/${rpc}` },
      method,
    });
    expect([found.route.body, found.route.responseBody]).toEqual([body, undefined]);
  });

  it("are 28", () => {
    expect(new Set(published.map(([, , service, rpc]) => `${service} ${rpc}`)).size).toBe(28);
    expect(table.routes).toHaveLength(28);
  });

  it.each([
    ["PATCH", `${management}/login`, "allow DELETE, GET, HEAD, OPTIONS, POST, PUT"],
    ["DELETE", `${admin}/login`, "allow GET, HEAD, OPTIONS, PUT"],
    ["GET", `${management}/login/second_factors`, "allow OPTIONS, POST"],
    ["HEAD", `${management}/login/second_factors`, "allow OPTIONS, POST"],
    ["GET", `${management}/login/second_factors/1`, "allow DELETE, OPTIONS"],
    ["GET", `${management}/login/second_factors/_search`, "allow DELETE, OPTIONS, POST"],
    ["get", `${management}/login`, "allow DELETE, GET, HEAD, OPTIONS, POST, PUT"],
    ["POST", `${management}/login/multi_factors/_search`, "allow DELETE, OPTIONS"],
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
    ["DELETE", `${management}/login/idps/urn:x:y`, 'RemoveIDPFromLoginPolicy "urn:x:y"'],
    ["HEAD", `${management}/login`, "GetLoginPolicy"],
    ["GET", `${management}/%6cogin`, "GetLoginPolicy"],
  ])("%s %s: %s", (method, path, wanted) => {
    expect(outcome(table, method, path)).toBe(wanted);
  });
});

const things = {
  List: "/things",
  Create: ruleOf("post", "/things", { body: "*" }),
  Search: ruleOf("post", "/things/_search"),
  Get: "/things/{name}",
  Rename: ruleOf("post", "/things/{name}/{display_name}"),
  Deep: "/{name}/deep",
  Special: "/things/special/{name}/end",
  General: "/things/{name}/{count}/stop",
};

describe("matching", () => {
  it.each([
    ["GET", "/things", "List"],
    ["GET", "/things/1", 'Get "1"'],
    ["POST", "/things/_search", "Search"],
    // A literal beats a variable, but a method that only the variable's route has is still found there.
    ["GET", "/things/_search", 'Get "_search"'],
    ["PUT", "/things/_search", "allow GET, HEAD, OPTIONS, POST"],
    ["GET", "/things/deep", 'Get "deep"'],
    ["GET", "/other/deep", 'Deep "other"'],
    // Goes into the literal "special" and comes back for the variable.
    ["GET", "/things/special/a/end", 'Special "a"'],
    ["GET", "/things/special/a/stop", 'General "special" "a"'],
    ["POST", "/things/special/a", 'Rename "special" "a"'],
    ["GET", "/things/a/b/c", "not_found"],
    ["DELETE", "/things", "allow GET, HEAD, OPTIONS, POST"],
    ["OPTIONS", "/things", "allow GET, HEAD, OPTIONS, POST"],
    ["PUT", "/things/1", "allow GET, HEAD, OPTIONS"],
    ["HEAD", "/things", "List"],
    ["HEAD", "/things/1", 'Get "1"'],
    ["HEAD", "/things/a/b", "allow OPTIONS, POST"],
    // Empty segments are in no route, and no variable takes one.
    ["GET", "/things/", "not_found"],
    ["GET", "//things", "not_found"],
    ["GET", "/things//stop", "not_found"],
    ["POST", "/things//x", "not_found"],
    ["POST", "/things/x/", "not_found"],
    ["GET", "//deep", "not_found"],
    ["GET", "/deep", "not_found"],
    ["GET", "//", "not_found"],
    ["GET", "things", "not_found"],
    // Values are decoded once, after the path is split.
    ["GET", "/things/a%2Fb", 'Get "a/b"'],
    ["GET", "/things/a%2fb%20c", 'Get "a/b c"'],
    ["GET", "/things/%252F", 'Get "%2F"'],
    ["GET", "/things/%2525", 'Get "%25"'],
    ["GET", "/things/a+b", 'Get "a+b"'],
    ["GET", "/things/a%2Bb", 'Get "a+b"'],
    ["GET", "/things/%e2%82%ac", 'Get "€"'],
    ["GET", "/things/a:b", 'Get "a:b"'],
    ["GET", "/things/a;b=c,d", 'Get "a;b=c,d"'],
    ["GET", "/things/%7E~", 'Get "~~"'],
    ["GET", "/things/*", 'Get "*"'],
    ["GET", "/things/{name}", 'Get "{name}"'],
    ["GET", "/things/%00", 'Get "\\u0000"'],
    ["GET", "/things%2F1", "not_found"],
    ["POST", "/things/a%2Fb/c%2Fd", 'Rename "a/b" "c/d"'],
    // Literals are the same text, however it is written.
    ["GET", "/%74hings", "List"],
    ["POST", "/things/%5fsearch", "Search"],
    ["GET", "/things/%", "bad_escape"],
    ["GET", "/things/%2", "bad_escape"],
    ["GET", "/things/%zz", "bad_escape"],
    ["GET", "/things/%ff", "bad_escape"],
    ["GET", "/things/%c3%28", "bad_escape"],
    ["GET", "/things/%c0%af", "bad_escape"],
    ["GET", "/things/%ed%a0%80", "bad_escape"],
    ["POST", "/things/ok/%ff", "bad_escape"],
    ["GET", "/%ff/deep", "bad_escape"],
    ["PUT", "/things/%ff", "allow GET, HEAD, OPTIONS"],
    ["GET", "/%ff", "not_found"],
    ["GET", "/things%", "not_found"],
    // Names of Object.prototype are names like any other.
    ["GET", "/constructor", "not_found"],
    ["GET", "/things/__proto__", 'Get "__proto__"'],
    ["constructor", "/things", "allow GET, HEAD, OPTIONS, POST"],
  ])("%s %s: %s", (method, path, wanted) => {
    expect(outcome(tableOf(things), method, path)).toBe(wanted);
  });

  it("reads the value that each variable names, in the order of the variables", () => {
    const found = tableOf(things).match("POST", "/things/a/b");
    if (found.kind !== "found") throw new Error(found.kind);
    expect(found.route.pathFields.map((fields) => fields.map(({ name }) => name))).toEqual([
      ["name"],
      ["display_name"],
    ]);
    expect(found.route.body).toBeUndefined();
  });
});

describe("a literal of other bytes than it is written with", () => {
  const table = tableOf({
    Tilde: "/%7e/x",
    Slash: "/a%2Fb",
    Percent: "/%25ff",
    Star: "/%2A/y",
    Accent: "/caf%C3%A9",
  });
  it.each([
    ["/~/x", "Tilde"],
    ["/%7E/x", "Tilde"],
    ["/%7e/%78", "Tilde"],
    ["/a%2fb", "Slash"],
    ["/a/b", "not_found"],
    ["/*/y", "Star"],
    ["/z/y", "not_found"],
    ["/%25ff", "Percent"],
    // No text at all, and so not the text "%ff".
    ["/%ff", "not_found"],
    ["/caf%c3%a9", "Accent"],
    ["/caf%e9", "not_found"],
  ])("is met by %s: %s", (path, wanted) => {
    expect(outcome(table, "GET", path)).toBe(wanted);
  });
});

describe("verbs", () => {
  const table = tableOf({
    Get: "/v1/{name}",
    Cancel: "/v1/{name}:cancel",
    Purge: ruleOf("post", "/v1/{name}:purge"),
    All: "/v1:cancel",
    Literal: "/v1/all:cancel",
    Under: "/v1/{name}/x",
    Odd: "/v1/odd:%25ff",
    Tree: "/tree/{name=**}:cancel",
    Branch: "/tree/{name=**}",
  });
  it.each([
    ["GET", "/v1/a:cancel", 'Cancel "a"'],
    ["GET", "/v1/a:b:cancel", 'Cancel "a:b"'],
    ["GET", "/v1/urn:x:y", 'Get "urn:x:y"'],
    ["GET", "/v1/a:", 'Get "a:"'],
    ["GET", "/v1/a::cancel", 'Cancel "a:"'],
    ["GET", "/v1/a:cancel:", 'Get "a:cancel:"'],
    ["GET", "/v1/:", 'Get ":"'],
    // No value is empty, so that the colon belongs to it.
    ["GET", "/v1/:cancel", 'Get ":cancel"'],
    // Encoded, it is data, and so is what follows it.
    ["GET", "/v1/a%3Acancel", 'Get "a:cancel"'],
    ["GET", "/v1/a%3acancel", 'Get "a:cancel"'],
    ["GET", "/v1/a%3Ab:cancel", 'Cancel "a:b"'],
    ["GET", "/v1/a:%63ancel", 'Cancel "a"'],
    ["GET", "/v1/a:CANCEL", 'Get "a:CANCEL"'],
    ["GET", "/v1/a:cancel/x", 'Under "a:cancel"'],
    // Under another method, the text is no verb of the route, but the value of one that fits.
    ["GET", "/v1/a:purge", 'Get "a:purge"'],
    ["POST", "/v1/a:purge", 'Purge "a"'],
    ["PUT", "/v1/a:purge", "allow GET, HEAD, OPTIONS, POST"],
    ["POST", "/v1/a:cancel", "allow GET, HEAD, OPTIONS"],
    ["HEAD", "/v1/a:cancel", 'Cancel "a"'],
    ["GET", "/v1:cancel", "All"],
    ["GET", "/v1:purge", "not_found"],
    ["GET", "/v1/all:cancel", "Literal"],
    ["GET", "/v1/cancel", 'Get "cancel"'],
    ["GET", "/v1", "not_found"],
    ["GET", "/v1/a/:cancel", "not_found"],
    ["GET", "/v1/odd:%25ff", "Odd"],
    // No text at all, and so not the verb "%ff".
    ["GET", "/v1/odd:%ff", "bad_escape"],
    ["GET", "/v1/%ff:cancel", "bad_escape"],
    ["GET", "/tree/a/b:cancel", 'Tree "a/b"'],
    ["GET", "/tree/a:b/c", 'Branch "a:b/c"'],
    ["GET", "/tree:cancel", 'Tree ""'],
    ["GET", "/tree/a%3Acancel", 'Branch "a:cancel"'],
  ])("%s %s: %s", (method, path, wanted) => {
    expect(outcome(table, method, path)).toBe(wanted);
  });

  it("leave the value whole where no template has any", () => {
    expect(outcome(tableOf({ Get: "/v1/{name}" }), "GET", "/v1/a:b:cancel")).toBe('Get "a:b:cancel"');
  });

  it("are no segment, and no segment is one", () => {
    const people = tableOf({ Verb: "/people:verb" });
    expect(["/people:verb", "/people/verb", "/people", "/people/:verb"].map((p) => outcome(people, "GET", p))).toEqual([
      "Verb",
      "not_found",
      "not_found",
      "not_found",
    ]);
  });
});

describe("wildcards", () => {
  const table = tableOf({
    Root: "/",
    Exact: "/a",
    Star: "/a/*",
    Rest: "/a/{name=**}",
    Below: "/a/b/{name=**}",
    Pair: "/c/{name=*/d/*}",
    Prefixed: "/{name=e/*}",
    RestOfOne: "/f/{name=g/**}",
    Literal: "/{name=h}",
    Two: "/i/{name}/{display_name=**}",
  });
  it.each([
    ["/", "Root"],
    ["/a", "Exact"],
    ["/a/x", "Star"],
    ["/a/x/y", 'Rest "x/y"'],
    // Segment by segment: the literal counts first, whatever follows it.
    ["/a/b", 'Below ""'],
    ["/a/b/c", 'Below "c"'],
    ["/a/b/c/d/e", 'Below "c/d/e"'],
    // Nothing but whole segments.
    ["/a/", "not_found"],
    ["/a/x/", "not_found"],
    ["/a//x", "not_found"],
    ["/a/b/", "not_found"],
    ["/ax", "not_found"],
    // An escaped slash of several segments stays what it is, in either letter case.
    ["/a/x/y%2Fz%20%2fz", 'Rest "x/y%2Fz %2fz"'],
    ["/a/b/%252F", 'Below "%2F"'],
    ["/a/b/x%2Fy", 'Below "x%2Fy"'],
    ["/a/x/a+b", 'Rest "x/a+b"'],
    ["/a/x/%ff", "bad_escape"],
    ["/a/x/%/y", "bad_escape"],
    ["/a/%ff", "bad_escape"],
    ["/c/x/d/y", 'Pair "x/d/y"'],
    ["/c/x%2Fx/d/y%20y", 'Pair "x%2Fx/d/y y"'],
    ["/c/x/e/y", "not_found"],
    ["/c/x/d", "not_found"],
    ["/e/x", 'Prefixed "e/x"'],
    ["/e/x%2Fy", 'Prefixed "e/x%2Fy"'],
    ["/f/g", 'RestOfOne "g"'],
    ["/f/g/h/i", 'RestOfOne "g/h/i"'],
    ["/f", "not_found"],
    ["/h", 'Literal "h"'],
    ["/%68", 'Literal "h"'],
    ["/i/x", 'Two "x" ""'],
    ["/i/x%2Fy/x%2Fy", 'Two "x/y" "x%2Fy"'],
    ["/i", "not_found"],
  ])("%s: %s", (path, wanted) => {
    expect(outcome(table, "GET", path)).toBe(wanted);
  });

  it("of the rest take nothing as well, where no template has just that", () => {
    expect(outcome(tableOf({ Rest: "/a/{name=**}" }), "GET", "/a")).toBe('Rest ""');
    expect(outcome(tableOf({ Rest: "/{name=**}" }), "GET", "/")).toBe('Rest ""');
    expect(outcome(tableOf({ Rest: "/{name=**}", Root: "/" }), "GET", "/")).toBe("Root");
    expect(outcome(tableOf({ Rest: "/{name=**}", Root: ruleOf("post", "/") }), "GET", "/")).toBe('Rest ""');
  });

  it("are tried in the order of a literal, one segment, and the rest, each to its end", () => {
    const nested = tableOf({
      A: "/x/*/z",
      B: ruleOf("post", "/x/y/*"),
      C: ruleOf("put", "/*/y/z"),
      D: ruleOf("delete", "/x/**"),
      E: ruleOf("patch", "/**"),
      F: ruleOf("SEARCH", "/x/y/z:z"),
    });
    expect(
      ["GET", "POST", "PUT", "DELETE", "PATCH", "SEARCH"].map((method) => outcome(nested, method, "/x/y/z")),
    ).toEqual(["A", "B", "C", "D", "E", "allow DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"]);
    expect(outcome(nested, "SEARCH", "/x/y/z:z")).toBe("F");
    expect(outcome(nested, "DELETE", "/x/y/z:z")).toBe("D");
  });

  it.each<[templates: Record<string, string>, path: string, wanted: string]>([
    [{ A: "/{name=a/**}/b" }, "/a/b", 'A "a"'],
    [{ A: "/{name=a/**}/b" }, "/a/x/y/b", 'A "a/x/y"'],
    [{ A: "/{name=a/**}/b" }, "/a/b/b", 'A "a/b"'],
    [{ A: "/{name=a/**}/b" }, "/a/x", "not_found"],
    [{ A: "/{name=a/**}/b" }, "/a", "not_found"],
    [{ A: "/{name=a/**}/b" }, "/a//b", "not_found"],
    [{ A: "/{name=a/**}/b:c" }, "/a/x/b:c", 'A "a/x"'],
    [{ A: "/{name=a/**}/b:c" }, "/a/x/b", "not_found"],
    [{ A: "/{name=**}/{display_name}" }, "/a", 'A "" "a"'],
    [{ A: "/{name=**}/{display_name}" }, "/", "not_found"],
    [{ A: "/{name=**}/{display_name=x/*}/{count}" }, "/p/q/x/1%2f2/3", 'A "p/q" "x/1%2f2" "3"'],
    [{ A: "/{name=**}/{display_name=x/*}/{count}" }, "/x/1/3", 'A "" "x/1" "3"'],
    [{ A: "/{name=**}/{display_name=x/*}/{count}" }, "/1/3", "not_found"],
    [{ A: "/{count}/{name=a/**/b/*}" }, "/7/a/b/c", 'A "7" "a/b/c"'],
    [{ A: "/{count}/{name=a/**/b/*}" }, "/7/a/x/y/b/c", 'A "7" "a/x/y/b/c"'],
    // Firestore's.
    [
      { List: "/v1/{name=projects/*/documents/*/**}/{display_name}", Get: "/v1/{name=projects/*/documents/*/**}" },
      "/v1/projects/p/documents/users/ada/posts",
      'List "projects/p/documents/users/ada" "posts"',
    ],
    [
      { List: "/v1/{name=projects/*/documents/*/**}/{display_name}", Get: "/v1/{name=projects/*/documents/*/**}" },
      "/v1/projects/p/documents/users",
      'Get "projects/p/documents/users"',
    ],
    // Who ends in the rest comes second, wherever it begins.
    [{ A: "/a/**", B: "/a/**/*" }, "/a/x", "B"],
    [{ A: "/a/**", B: "/**/b" }, "/a/b", "B"],
    [{ A: "/a/x/**", B: "/a/**/b" }, "/a/x/b", "B"],
    [{ A: "/a/x/**", B: "/a/**/b" }, "/a/x/c", "A"],
    // But for a template without a rest the segments count, as ever.
    [{ A: "/a/**", B: "/*/*" }, "/a/b", "A"],
    [{ A: "/a/b", B: "/**/b" }, "/a/b", "A"],
    [{ A: "/*/b", B: "/**/b" }, "/a/b", "A"],
    // Behind the rest, the last segment counts first.
    [{ A: "/**/*/b", B: "/**/a/*" }, "/x/a/b", "A"],
    [{ A: "/**/a/b", B: "/**/*/b" }, "/x/a/b", "A"],
    [{ A: "/**/*/b", B: "/**/b" }, "/a/b", "A"],
    [{ A: "/**/*/b", B: "/**/b" }, "/b", "B"],
    [{ A: "/x/**/*", B: "/**/b" }, "/x/b", "A"],
  ])("may have segments behind the rest: %o, %s: %s", (templates, path, wanted) => {
    for (const entries of [Object.entries(templates), Object.entries(templates).reverse()]) {
      expect(outcome(tableOf(Object.fromEntries(entries)), "GET", path)).toBe(wanted);
    }
  });

  it("of the rest come second among those that have the method", () => {
    const table = tableOf({ A: "/a/**", B: ruleOf("post", "/**/b"), C: ruleOf("*", "/**/b") });
    expect(outcome(table, "POST", "/a/b")).toBe("B");
    expect(outcome(table, "GET", "/a/b")).toBe("C");
    expect(outcome(tableOf({ A: "/a/**", B: ruleOf("post", "/**/b") }), "GET", "/a/b")).toBe("A");
  });

  it("outside a variable must hold what can be decoded, too", () => {
    expect(outcome(tableOf({ Star: "/a/*/b" }), "GET", "/a/%ff/b")).toBe("bad_escape");
  });
});

describe("methods", () => {
  const table = tableOf({
    Get: "/a",
    Any: ruleOf("*", "/a"),
    AnyOther: ruleOf("*", "/a/{name}"),
    Lock: ruleOf("LOCK", "/b"),
    Head: ruleOf("HEAD", "/c"),
    GetC: "/c",
    Options: ruleOf("OPTIONS", "/d"),
    GetD: "/d",
    AnyStar: ruleOf("*", "/e/*"),
    Post: ruleOf("post", "/e/f"),
  });
  it.each([
    // The very method before any.
    ["GET", "/a", "Get"],
    ["POST", "/a", "Any"],
    ["OPTIONS", "/a", "Any"],
    ["PROPFIND", "/a", "Any"],
    // GET knows better what HEAD means than a rule for all others.
    ["HEAD", "/a", "Get"],
    ["HEAD", "/a/b", 'AnyOther "b"'],
    ["LOCK", "/b", "Lock"],
    ["lock", "/b", "allow LOCK, OPTIONS"],
    ["GET", "/b", "allow LOCK, OPTIONS"],
    ["HEAD", "/b", "allow LOCK, OPTIONS"],
    ["HEAD", "/c", "Head"],
    ["GET", "/c", "GetC"],
    ["POST", "/c", "allow GET, HEAD, OPTIONS"],
    ["OPTIONS", "/d", "Options"],
    ["POST", "/d", "allow GET, HEAD, OPTIONS"],
    // The more specific template, if it has the method at all.
    ["POST", "/e/f", "Post"],
    ["GET", "/e/f", "AnyStar"],
    ["*", "/b", "allow LOCK, OPTIONS"],
  ])("%s %s: %s", (method, path, wanted) => {
    expect(outcome(table, method, path)).toBe(wanted);
  });

  it.each(["get", "put", "post", "delete", "patch"] as const)("of the rule %s are served", (method) => {
    expect(outcome(tableOf({ Do: ruleOf(method, "/x") }), method.toUpperCase(), "/x")).toBe("Do");
  });

  it("may share a path", () => {
    const shared = tableOf({ Read: "/x/{name}", Write: ruleOf("post", "/x/{display_name}", { body: "*" }) });
    expect(outcome(shared, "GET", "/x/1")).toBe('Read "1"');
    const found = shared.match("POST", "/x/1");
    expect(found).toMatchObject({ kind: "found", pathValues: ["1"], route: { body: "whole" } });
  });

  it("tell all that a path has in Allow, over every template and reading that fits", () => {
    const wide = tableOf({
      A: ruleOf("put", "/x/a:b"),
      B: ruleOf("post", "/x/{name}"),
      C: ruleOf("delete", "/{name=**}"),
      D: ruleOf("patch", "/y/**"),
    });
    expect(outcome(wide, "GET", "/x/a:b")).toBe("allow DELETE, OPTIONS, POST, PUT");
  });
});

describe("a rule", () => {
  it("may have several bindings, each with a body and an answer of its own", () => {
    const table = tableOf({
      Do: ruleOf("post", "/x/{name}", {
        body: "inner",
        responseBody: "many",
        additionalBindings: [ruleOf("put", "/x/{inner.name}", { body: "*" }), ruleOf("get", "/y")],
      }),
    });
    expect(
      table.routes.map(({ method, pattern, body, responseBody, pathFields }) => ({
        method,
        pattern,
        body: typeof body === "object" ? body.name : body,
        responseBody: responseBody?.name,
        fields: pathFields.map((fields) => fields.map(({ name }) => name).join(".")),
      })),
    ).toEqual([
      { method: "POST", pattern: "/x/{name}", body: "inner", responseBody: "many", fields: ["name"] },
      { method: "PUT", pattern: "/x/{inner.name}", body: "whole", responseBody: undefined, fields: ["inner.name"] },
      { method: "GET", pattern: "/y", body: undefined, responseBody: undefined, fields: [] },
    ]);
    expect(outcome(table, "PUT", "/x/1")).toBe('Do "1"');
  });

  it.each(["name", "inner", "many", "words", "by_key", "color", "at", "int_box", "left", "free"])(
    "may give the field %s as the body and as the answer",
    (name) => {
      const [route] = tableOf({ Do: ruleOf("post", "/x", { body: name, responseBody: name }) }).routes;
      expect(route).toMatchObject({ body: { name }, responseBody: { name } });
    },
  );

  it("is left out where an RPC has none", () => {
    const table = tableOf({ Plain: undefined });
    expect(outcome(table, "POST", "/test.Things/Plain")).toBe("not_found");
    expect(table.routes).toEqual([]);
  });

  it.each([{ serverStreaming: true }, { clientStreaming: true }, { clientStreaming: true, serverStreaming: true }])(
    "may be of an RPC with streams: %o",
    (streams) => {
      const table = routesOf({ name: "Watch", rule: ruleOf("post", "/x"), ...streams });
      expect(outcome(table, "POST", "/x")).toBe("Watch");
    },
  );

  it("may have a body and set fields within it by the path", () => {
    const table = tableOf({ Update: ruleOf("patch", "/v1/{inner.name=things/*}", { body: "inner" }) });
    expect(table.match("PATCH", "/v1/things/1")).toMatchObject({
      kind: "found",
      pathValues: ["things/1"],
      route: { body: { name: "inner" }, pathFields: [[{ name: "inner" }, { name: "name" }]] },
    });
  });
});

describe("createRouteTable", () => {
  const sameShape = (method: string, pattern: string, other = "First") =>
    `Second: ${method} "${pattern}" has the method and shape of that of /test.Things/${other}`;

  it.each<[what: string, rules: Record<string, HttpRuleInit | string>, message: string]>([
    ["two rules of one path", { First: "/x", Second: "/x" }, sameShape("GET", "/x")],
    ["two spellings of one path", { First: "/~", Second: "/%7E" }, sameShape("GET", "/%7E")],
    ["two rules of one shape", { First: "/x/{name}", Second: "/x/{count=*}" }, sameShape("GET", "/x/{count=*}")],
    ["a variable and a wildcard", { First: "/x/{name}/y", Second: "/x/*/y" }, sameShape("GET", "/x/*/y")],
    [
      "variables that part the same segments otherwise",
      { First: "/x/{name=a/*}", Second: "/x/a/{name}" },
      sameShape("GET", "/x/a/{name}"),
    ],
    ["two rules of the rest", { First: "/x/{name=**}", Second: "/x/**" }, sameShape("GET", "/x/**")],
    ["two roots", { First: "/", Second: "/" }, sameShape("GET", "/")],
    ["two rules of one verb", { First: "/{name}:a", Second: "/*:%61" }, sameShape("GET", "/*:%61")],
    ["two rules of any method", { First: ruleOf("*", "/x"), Second: ruleOf("*", "/x") }, sameShape("*", "/x")],
    ["a standard method and one of its name", { First: "/x", Second: ruleOf("GET", "/x") }, sameShape("GET", "/x")],
    [
      "an additional binding of another RPC's path",
      { First: "/x", Second: ruleOf("get", "/y", { additionalBindings: [ruleOf("get", "/x")] }) },
      sameShape("GET", "/x"),
    ],
    [
      "two bindings of one RPC",
      { Second: ruleOf("get", "/x", { additionalBindings: [ruleOf("get", "/x")] }) },
      sameShape("GET", "/x", "Second"),
    ],
    [
      "an unknown field",
      { Do: "/x/{nothing}" },
      "Do: the path names the field nothing, which test.Thing does not have",
    ],
    [
      "a field by its JSON name",
      { Do: "/x/{displayName}" },
      "Do: the path names the field displayName, which test.Thing does not have",
    ],
    [
      "an unknown field further in",
      { Do: "/x/{inner.nothing}" },
      "Do: the path names the field nothing, which test.Thing does not have",
    ],
    [
      "a field in a text",
      { Do: "/x/{name.size}" },
      "Do: the path names the field size, which the field name, which leads no further, does not have",
    ],
    [
      "a field in a list",
      { Do: "/x/{many.name}" },
      "Do: the path names the field name, which the field many, which leads no further, does not have",
    ],
    [
      "a field in a map",
      { Do: "/x/{by_key.name}" },
      "Do: the path names the field name, which the field by_key, which leads no further, does not have",
    ],
    [
      "a field in what is one value to JSON",
      { Do: "/x/{span.seconds}" },
      "Do: the path names the field seconds, which the field span, which leads no further, does not have",
    ],
    ["a message", { Do: "/x/{inner}" }, "Do: the path names the field inner, which a text cannot set"],
    [
      "two members of a oneof",
      { Do: "/x/{left}/{right}" },
      "Do: the path names the fields left and right, which are alternatives",
    ],
    [
      "two members of a oneof within",
      { Do: "/x/{inner.left}/{inner.right}" },
      "Do: the path names the fields left and right, which are alternatives",
    ],
    ["a list", { Do: "/x/{words}" }, "Do: the path names the field words, which a text cannot set"],
    [
      "a list further in",
      { Do: "/x/{inner.words}" },
      "Do: the path names the field inner.words, which a text cannot set",
    ],
    ["a map", { Do: "/x/{by_key}" }, "Do: the path names the field by_key, which a text cannot set"],
    ["an object", { Do: "/x/{free}" }, "Do: the path names the field free, which a text cannot set"],
    [
      "a body that is no field",
      { Do: ruleOf("post", "/x", { body: "nothing" }) },
      "Do: body names the field nothing, which test.Thing does not have",
    ],
    [
      "a body by its JSON name",
      { Do: ruleOf("post", "/x", { body: "displayName" }) },
      "Do: body names the field displayName, which test.Thing does not have",
    ],
    [
      "a body further in",
      { Do: ruleOf("post", "/x", { body: "inner.name" }) },
      "Do: body names the field inner.name, which test.Thing does not have",
    ],
    [
      "a body that is in the path",
      { Do: ruleOf("post", "/x/{name}", { body: "name" }) },
      "Do: the field name is both the body and in the path",
    ],
    ["a body of GET", { Do: ruleOf("get", "/x", { body: "*" }) }, "Do: GET has no body"],
    ["a body of HEAD", { Do: ruleOf("HEAD", "/x", { body: "inner" }) }, "Do: HEAD has no body"],
    [
      "an answer that is no field",
      { Do: ruleOf("get", "/x", { responseBody: "nothing" }) },
      "Do: response_body names the field nothing, which test.Thing does not have",
    ],
    [
      "the whole answer as its field",
      { Do: ruleOf("get", "/x", { responseBody: "*" }) },
      "Do: response_body names the field *, which test.Thing does not have",
    ],
    [
      "additional bindings of an additional binding",
      {
        Do: ruleOf("get", "/x", {
          additionalBindings: [ruleOf("get", "/y", { additionalBindings: [ruleOf("get", "/z")] })],
        }),
      },
      "Do: an additional binding cannot have additional bindings",
    ],
    [
      "an additional binding that is wrong",
      { Do: ruleOf("get", "/x", { additionalBindings: [ruleOf("get", "y")] }) },
      'Do: path template "y", character 1: it must begin with a slash',
    ],
    ["no pattern", { Do: {} }, "Do: a binding needs a method and a path"],
    ["a method without a name", { Do: ruleOf("", "/x") }, 'Do: "" is no HTTP method'],
    ["a method with a blank", { Do: ruleOf("GET ", "/x") }, 'Do: "GET " is no HTTP method'],
    ["the method CONNECT", { Do: ruleOf("CONNECT", "/x") }, "Do: CONNECT is not for services"],
    ["the method TRACE", { Do: ruleOf("TRACE", "/x") }, "Do: TRACE is not for services"],
    ["a bad template", { Do: "x" }, 'Do: path template "x", character 1: it must begin with a slash'],
    [
      "the path of an RPC",
      { Do: ruleOf("post", "/test.Things/Other"), Other: "/x" },
      'Do: "/test.Things/Other" is the path of the RPC /test.Things/Other',
    ],
    [
      "the path of the RPC itself",
      { Do: ruleOf("post", "/test.Things/Do") },
      'Do: "/test.Things/Do" is the path of the RPC /test.Things/Do',
    ],
    [
      "the path of an RPC in a variable",
      { Do: ruleOf("*", "/{name=test.Things/Do}") },
      'Do: "/{name=test.Things/Do}" is the path of the RPC /test.Things/Do',
    ],
    [
      "the path of an RPC under another method, which no request would reach",
      { Do: "/test.Things/Do" },
      'Do: "/test.Things/Do" is the path of the RPC /test.Things/Do',
    ],
  ])("throws for %s", (_, rules, message) => {
    expect(() => tableOf(rules)).toThrow(new Error(`the HTTP rule of /test.Things/${message}`));
  });

  it("keeps paths for others", () => {
    const start = (path: string) => {
      const service = serviceOf(...methodsOf({ Do: path }));
      return createRouteTable(
        createRpcTable((router) => router.service(service, {})),
        ["/metrics"],
      );
    };
    expect(() => start("/metrics")).toThrow(
      new Error('the HTTP rule of /test.Things/Do: "/metrics" is a path that the server keeps for itself'),
    );
    expect(outcome(start("/{name}"), "GET", "/other")).toBe('Do "other"');
  });

  it("takes rules that overlap, but are not the same", () => {
    const overlapping = { A: "/a/*", B: "/*/a", C: "/**", D: "/a/**", E: "/a/a", F: "/a/a:a", G: ruleOf("*", "/a/a") };
    expect(() => tableOf(overlapping)).not.toThrow();
  });
});

describe("the order of registration", () => {
  const rules: Readonly<Record<string, HttpRuleInit | string>> = {
    ...things,
    Star: ruleOf("*", "/things/{name}"),
    Rest: ruleOf("delete", "/{name=**}"),
    Lock: ruleOf("LOCK", "/things/_search"),
    Verb: "/things/{name}:stop",
    VerbOfRest: ruleOf("delete", "/{name=**}:stop"),
    Pair: "/{name=*/deep/*}",
  };
  const segments = ["things", "deep", "special", "_search", "stop", "end", "a", "a:stop", "%2F", ""];
  const paths = segments.flatMap((first) => [
    `/${first}`,
    ...segments.flatMap((second) => [
      `/${first}/${second}`,
      ...segments.flatMap((third) => [`/${first}/${second}/${third}`, `/${first}/${second}/${third}/stop`]),
    ]),
  ]);
  const requests = ["GET", "POST", "DELETE", "LOCK", "HEAD"].flatMap((method) =>
    paths.map((path) => [method, path] as const),
  );
  const answers = (entries: readonly (readonly [string, HttpRuleInit | string])[]) => {
    const table = tableOf(Object.fromEntries(entries));
    return requests.map(([method, path]) => outcome(table, method, path));
  };

  it("changes nothing of what is matched", () => {
    const wanted = answers(Object.entries(rules));
    expect(new Set(wanted).size).toBeGreaterThan(100);
    const random = seeded(1);
    for (let round = 0; round < 20; round += 1) expect(answers(shuffle(Object.entries(rules), random))).toEqual(wanted);
  });
});

describe("templates of every shape", () => {
  const literals = ["a", "b"];

  /** A template of up to four segments, with a `**` at any place or none; each wildcard is a variable. */
  function randomTemplate(random: () => number): string {
    const names = ["name", "display_name", "nick", "left"];
    const length = 1 + Math.floor(random() * 4);
    const rest = Math.floor(random() * 2 * length);
    const segments = Array.from({ length }, (_, index) => {
      if (index === rest) return `{${names[index]}=**}`;
      return random() < 0.5 ? (literals[Math.floor(random() * 2)] as string) : `{${names[index]}}`;
    });
    return `/${segments.join("/")}`;
  }

  const isRest = (segment: string) => segment.endsWith("**}");
  const weight = (segment: string | undefined) =>
    segment === undefined ? -1 : isRest(segment) ? 2 : segment.startsWith("{") ? 1 : 0;

  /** Its place in the order: each segment's weight, and behind a `**` those from the end backwards, of which the end weighs most. */
  function orderOf(template: string): number[] {
    const segments = template.slice(1).split("/");
    const rest = segments.findIndex(isRest);
    if (rest === -1) return [...segments.map(weight), -1];
    return [
      ...segments.slice(0, rest + 1).map(weight),
      ...segments
        .slice(rest + 1)
        .reverse()
        .map(weight),
      2,
    ];
  }

  function compare(a: string, b: string): number {
    const [first, second] = [orderOf(a), orderOf(b)];
    const at = first.findIndex((one, index) => one !== second[index]);
    return (first[at] ?? 0) - (second[at] ?? 0);
  }

  /** What a template makes of a path, by a pattern: the values of its variables. */
  function valuesOf(template: string, path: string): string[] | undefined {
    const pattern = template.replace(/\/\{\w+=\*\*\}/, "((?:/[^/]+)*)").replace(/\{\w+\}/g, "([^/]+)");
    return new RegExp(`^${pattern}$`)
      .exec(path)
      ?.slice(1)
      .map((value) => value.replace(/^\//, ""));
  }

  it("match what a pattern of theirs matches, in the order that the documents say", () => {
    const random = seeded(7);
    let found = 0;
    for (let round = 0; round < 200; round += 1) {
      const shapes = new Map(
        Array.from({ length: 6 }, () => randomTemplate(random)).map((one) => [one.replace(/\{\w+/g, "{"), one]),
      );
      const templates = [...shapes.values()];
      const table = tableOf(Object.fromEntries(templates.map((template, index) => [`R${index}`, template])));
      for (let count = 0; count < 20; count += 1) {
        const length = 1 + Math.floor(random() * 5);
        const path = `/${Array.from({ length }, () => ["a", "b", "c"][Math.floor(random() * 3)]).join("/")}`;
        const fitting = templates.filter((template) => valuesOf(template, path) !== undefined).sort(compare);
        const [first] = fitting;
        const behind = fitting.find((template) => template.includes("**}/"));
        const best = first?.endsWith("**}") && behind !== undefined ? behind : first;
        const match = table.match("GET", path);
        const context = `${path} of ${templates.join(" ")}`;
        if (best === undefined) expect(match.kind, context).toBe("not_found");
        else {
          found += 1;
          const want = { kind: "found", route: { pattern: best }, pathValues: valuesOf(best, path) };
          expect(match, context).toMatchObject(want);
        }
      }
    }
    expect(found).toBeGreaterThan(1000);
  });
});

describe("the cost of a match", () => {
  /** How many steps from place to place of the tree a match takes. */
  function stepsOf(table: RouteTable, method: string, path: string): number {
    const step = vi.spyOn(Map.prototype, "get");
    try {
      table.match(method, path);
      return step.mock.calls.length;
    } finally {
      step.mockRestore();
    }
  }

  it("is bounded by the templates where every segment could be a literal or a variable", () => {
    const depth = 12;
    const names = ["name", "count", "big", "flag", "color", "display_name"];
    // All mixtures of literals and variables over the first six segments, then literals.
    const rules = Array.from({ length: 1 << names.length }, (_, mask) => {
      const head = names.map((name, bit) => (mask & (1 << bit) ? `{${name}}` : "x"));
      return [`M${mask}`, `/${[...head, ...Array(depth - names.length).fill("x")].join("/")}`] as const;
    });
    const table = tableOf(Object.fromEntries(rules));
    const all = (last: string) => `/${[...Array(depth - 1).fill("x"), last].join("/")}`;
    expect(outcome(table, "GET", all("x"))).toBe("M0");
    expect(outcome(table, "GET", all("y"))).toBe("not_found");
    expect(outcome(table, "POST", all("x"))).toBe("allow GET, HEAD, OPTIONS");
    const places = (2 << names.length) + rules.length * (depth - names.length);
    expect(stepsOf(table, "GET", all("y"))).toBeLessThan(3 * places);
  });

  it("is bounded by the templates, not the path, with 2000 routes and a path made to fit all but their ends", () => {
    const count = 2000;
    const rules = Array.from({ length: count }, (_, index) => {
      // Ten branch points, each a literal or a wildcard, then an end of its own.
      const head = Array.from({ length: 10 }, (_, bit) => (index & (1 << bit) ? "*" : "a"));
      return [`R${index}`, `/${head.join("/")}/${index >> 10 ? "**" : "*"}`] as const;
    });
    // The same once more behind a `**`, backwards.
    const tails = rules.map(([name, template]) => {
      const tail = template.split("/").filter((segment) => segment !== "" && segment !== "**");
      return [`T${name}`, `/b/**/${[...tail, name].reverse().join("/")}`] as const;
    });
    const table = tableOf(Object.fromEntries([...rules, ...tails, ["Verb", "/**:verb"]]));
    expect(table.routes).toHaveLength(2 * count + 1);
    const bound = 20 * count;
    const hostile = [
      `/${Array(10).fill("a").join("/")}`,
      `/${Array(8_000).fill("a").join("/")}`,
      `/${Array(8_000).fill("a").join("/")}/`,
      `/${Array(30_000).fill("").join("/")}`,
      `/${Array(10_000).fill("%61").join("/")}`,
      `/${Array(10).fill("a").join("/")}/${"%61".repeat(20_000)}/`,
      `/a${":a".repeat(30_000)}`,
      `/${Array(20_000).fill("a:verb").join("/")}`,
      `/b/${Array(8_000).fill("a").join("/")}`,
      `/b/${Array(10_000).fill("%61").join("/")}`,
    ];
    for (const path of hostile) {
      expect(stepsOf(table, "GET", path), path.slice(0, 40)).toBeLessThan(bound);
      expect(stepsOf(table, "POST", path), path.slice(0, 40)).toBeLessThan(bound);
    }
  });

  it("does not grow with what no template has", () => {
    const few = tableOf({ Get: "/a/{name}" });
    const short = stepsOf(few, "GET", "/a/b/c");
    expect(stepsOf(few, "GET", `/a/b/c${"/c".repeat(10_000)}`)).toBe(short);
  });
});

/** Numbers from 0 up to 1 that look random, and are the same each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function shuffle<T>(all: readonly T[], random: () => number): T[] {
  const left = [...all];
  return all.map(() => left.splice(Math.floor(random() * left.length), 1)[0] as T);
}
