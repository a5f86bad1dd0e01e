import { describe, expect, it } from "vitest";
import { parsePolicyName, policyNameOf, revisionNameOf } from "../../../src/auth/resource.ts";
import { instanceRef, organizationRef } from "../../../src/store/store.ts";

describe("parsePolicyName", () => {
  it.each([
    ["instance/loginPolicy", { resource: instanceRef }],
    ["instance/loginPolicy/revisions/7", { resource: instanceRef, revision: 7 }],
    ["organizations/a-B_9/loginPolicy", { resource: organizationRef("a-B_9") }],
    ["organizations/instance/loginPolicy/revisions/12", { resource: organizationRef("instance"), revision: 12 }],
  ])("reads %s", (name, wanted) => {
    expect(parsePolicyName(name)).toEqual(wanted);
    const { resource, revision } = wanted as { resource: typeof instanceRef; revision?: number };
    expect(revision === undefined ? policyNameOf(resource) : revisionNameOf(resource, revision)).toBe(name);
  });

  it.each([
    "",
    "instance",
    "instance/loginPolicy/",
    "instance/loginPolicy\n",
    "Instance/loginPolicy",
    "organizations//loginPolicy",
    "organizations/-/loginPolicies",
    "organizations/a b/loginPolicy",
    "organizations/a%20b/loginPolicy",
    "organizations/a/b/loginPolicy",
    "organizations/é/loginPolicy",
    `organizations/${"a".repeat(201)}/loginPolicy`,
    "organizations/a/loginPolicy/revisions/",
    "organizations/a/loginPolicy/revisions/0",
    "organizations/a/loginPolicy/revisions/07",
    "organizations/a/loginPolicy/revisions/-1",
    "organizations/a/loginPolicy/revisions/1e3",
    "organizations/a/loginPolicy/revisions/1234567890123456",
  ])("refuses %j", (name) => {
    expect(parsePolicyName(name)).toBeUndefined();
  });
});
