import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { FieldMaskSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { LoginPolicySchema } from "../../../../gen/portcullis/v1/login_policy_pb.ts";
import { readFilter } from "../../../../src/services/portcullis/filter.ts";
import { pageToken, readPageSize, readPageToken } from "../../../../src/services/portcullis/page-token.ts";
import { readPatch } from "../../../../src/services/portcullis/patch.ts";

/** The error of a call, as its caller gets it: code, reason and field. */
function refusalOf(call: () => unknown) {
  try {
    call();
  } catch (error) {
    const { code, details } = ConnectError.from(error);
    const values = details.map((detail) => ("value" in detail ? detail.value : {})) as {
      reason?: string;
      fieldViolations?: { field: string }[];
      id?: string;
    }[];
    return {
      code: Code[code],
      reason: values.find(({ reason }) => reason)?.reason,
      field: values.find(({ fieldViolations }) => fieldViolations)?.fieldViolations?.[0]?.field,
      id: values.find(({ id }) => id)?.id,
    };
  }
  throw new Error("it was not refused");
}

const patch = (init: MessageInitShape<typeof LoginPolicySchema>, paths?: readonly string[], ofInstance = false) =>
  readPatch(create(LoginPolicySchema, init), paths && create(FieldMaskSchema, { paths: [...paths] }), {
    at: "login_policy",
    maskAt: "update_mask",
    ofInstance,
  });

describe("readPatch", () => {
  it("takes what is set where there is no mask, and leaves empty lists alone", () => {
    expect(patch({ forceMfa: false, defaultRedirectUri: "", passwordlessType: 1, secondFactors: [] })).toEqual({
      settings: { forceMfa: false, defaultRedirectUri: "", passwordlessType: "allowed" },
    });
    expect(patch({ multiFactors: [1] }, [])).toEqual({ settings: {}, multiFactors: ["u2f_with_verification"] });
  });

  it("takes what the mask names alone, and empties a list", () => {
    const init = { forceMfa: true, allowRegister: true, secondFactors: [], multiFactors: [1 as const] };
    expect(patch(init, ["force_mfa", "second_factors"])).toEqual({ settings: { forceMfa: true }, secondFactors: [] });
  });

  it("passes over what only answers have", () => {
    const paths = ["name", "etag", "origin", "revision", "create_time", "update_time", "organization_display_name"];
    expect(patch({ forceMfa: true }, paths)).toEqual({ settings: {} });
    expect(patch({ origin: 2, revision: "x", organizationDisplayName: "y" })).toEqual({ settings: {} });
  });

  it("takes every field for *", () => {
    const missing = { code: "InvalidArgument", reason: "FIELD_MISSING", field: "login_policy.allow_username_password" };
    expect(refusalOf(() => patch({ forceMfa: true }, ["*"]))).toMatchObject(missing);
    const whole = Object.fromEntries(
      LoginPolicySchema.fields
        .filter(({ number, fieldKind }) => number >= 8 && fieldKind !== "list")
        .map(({ localName, fieldKind, scalar }) => [
          localName,
          fieldKind === "message" ? { seconds: 1n } : fieldKind === "enum" ? 0 : scalar === 9 ? "" : true,
        ]),
    );
    const read = patch(whole, ["*"]);
    expect(Object.keys(read.settings)).toHaveLength(17);
    expect(read).toMatchObject({ secondFactors: [], multiFactors: [], identityProviderIds: [] });
  });

  it.each([
    ["an unknown path", {}, ["force"], { reason: "MASK_PATH_UNKNOWN", field: "update_mask" }],
    ["a path below a field", {}, ["password_check_lifetime.seconds"], { reason: "MASK_PATH_UNKNOWN" }],
    ["a path in camel case", {}, ["forceMfa"], { reason: "MASK_PATH_UNKNOWN" }],
    ["a scalar that is missing", {}, ["force_mfa"], { reason: "FIELD_MISSING", field: "login_policy.force_mfa" }],
    ["an unknown type", { passwordlessType: 9 as 1 }, undefined, { field: "login_policy.passwordless_type" }],
    [
      "a factor without a name",
      { secondFactors: [1, 0] },
      undefined,
      { field: "login_policy.second_factors[1]", id: "Org-5m9fs" },
    ],
    [
      "an unknown factor",
      { multiFactors: [7 as 1] },
      undefined,
      { field: "login_policy.multi_factors[0]", id: "Org-5m9fs" },
    ],
    [
      "a URI without a host",
      { defaultRedirectUri: "https://" },
      undefined,
      { field: "login_policy.default_redirect_uri", id: "Org-Sfd21" },
    ],
  ] as const)("refuses %s", (_, init, paths, wanted) => {
    const refused = refusalOf(() => patch(init as MessageInitShape<typeof LoginPolicySchema>, paths));
    expect(refused).toMatchObject({ code: "InvalidArgument", ...wanted });
  });

  it("names the instance's ids for the instance", () => {
    expect(refusalOf(() => patch({ secondFactors: [0] }, undefined, true)).id).toBe("INSTANCE-5m9fs");
    expect(refusalOf(() => patch({ defaultRedirectUri: "https://" }, undefined, true)).id).toBe("IAM-SFdqd");
  });
});

describe("readFilter", () => {
  it.each([
    ["", {}],
    ["  ", {}],
    ["origin = OWN", { origin: "own" }],
    ['origin="INHERITED"', { origin: "inherited" }],
    ['organization_display_name : "Ac*"', { nameStartsWith: "Ac" }],
    ['organization_display_name:"a \\"b\\" \\\\*"', { nameStartsWith: 'a "b" \\' }],
    ['organization_display_name : "*"', { nameStartsWith: "" }],
  ])("reads %j", (filter, wanted) => {
    expect(readFilter(filter)).toEqual(wanted);
  });

  it.each([
    "origin",
    "origin = own",
    "origin != OWN",
    "origin = OWN AND origin = OWN",
    'organization_display_name : "Ac"',
    'organization_display_name : "A*c*"',
    'organization_display_name = "Ac*"',
    "organization_display_name : Ac*",
    'organization_display_name : "Ac*',
    "force_mfa = true",
  ])("refuses %j", (filter) => {
    expect(refusalOf(() => readFilter(filter))).toMatchObject({ reason: "FILTER_INVALID", field: "filter" });
  });
});

describe("page tokens", () => {
  it("come back for the same request, and are empty on the last page", () => {
    const token = pageToken(["list", "a"], "é/1");
    expect(readPageToken(token, ["list", "a"])).toBe("é/1");
    expect(readPageToken("", ["list", "a"])).toBeUndefined();
    expect(pageToken(["list", "a"], undefined)).toBe("");
  });

  it.each([pageToken(["list", "b"], "1"), pageToken(["revisions", "a"], "1"), "x", "bnVsbA", "W10", "e30", "\0"])(
    "are refused for another request: %j",
    (token) => {
      const refused = refusalOf(() => readPageToken(token, ["list", "a"]));
      expect(refused).toMatchObject({ reason: "PAGE_TOKEN_INVALID", field: "page_token" });
    },
  );

  it("have a page of 50 by default, and of 500 at most", () => {
    expect([0, 1, 500, 501].map(readPageSize)).toEqual([50, 1, 500, 500]);
    expect(refusalOf(() => readPageSize(-1))).toMatchObject({ field: "page_size" });
  });
});
