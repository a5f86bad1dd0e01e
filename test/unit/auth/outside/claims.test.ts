import { describe, expect, it } from "vitest";
import { type Claims, readCaller } from "../../../../src/auth/outside/claims.ts";

const roleClaim = "urn:zitadel:iam:org:project:roles";
const homeClaim = "urn:zitadel:iam:user:resourceowner:id";
const url = "https://issuer.example";

const read = (claims: Claims, settings: { readonly roleClaim?: string; readonly instanceRoles?: boolean } = {}) =>
  readCaller({ sub: "ada", ...claims }, { url, roleClaim, instanceRoles: false, ...settings });

const rolesOf = (claim: unknown, settings?: Parameters<typeof read>[1]) => {
  const { roles, homeRoles } = read({ [roleClaim]: claim }, settings) ?? {};
  return { roles, homeRoles };
};
const none = { roles: [], homeRoles: [] };

describe("readCaller", () => {
  it("names the user by issuer and subject", () => {
    expect(read({})).toEqual({ userId: "https://issuer.example#ada", ...none });
  });

  it.each([
    ["absent", undefined],
    ["empty", ""],
    ["a number", 7],
    ["an object", { toString: "ada" }],
    ["longer than 255 characters", "a".repeat(256)],
    ["with a NUL", "ada\0"],
    ["with half of a surrogate pair", "ada\ud800"],
  ])("knows nobody where the subject is %s", (_, sub) => {
    expect(read({ sub })).toBeUndefined();
  });

  it("takes a subject of 255 characters", () => {
    expect(read({ sub: "a".repeat(255) })?.userId).toBe(`${url}#${"a".repeat(255)}`);
  });

  it("does not take a subject from the prototype", () => {
    expect(readCaller(Object.create({ sub: "ada" }), { url, roleClaim, instanceRoles: true })).toBeUndefined();
  });
});

describe("roles in ZITADEL's shape", () => {
  it("count on the organizations they name", () => {
    expect(
      rolesOf({ ORG_OWNER: { "1": "acme.example", "2": "other.example" }, ORG_USER_MANAGER: { "2": "x" } }),
    ).toEqual({
      roles: [
        { role: "ORG_OWNER", organizationId: "1" },
        { role: "ORG_OWNER", organizationId: "2" },
        { role: "ORG_USER_MANAGER", organizationId: "2" },
      ],
      homeRoles: [],
    });
  });

  it("count on the instance only where the issuer may give them", () => {
    const claim = { IAM_OWNER: { "1": "acme.example", "2": "other.example" } };
    expect(rolesOf(claim)).toEqual(none);
    expect(rolesOf(claim, { instanceRoles: true })).toEqual({ roles: [{ role: "IAM_OWNER" }], homeRoles: [] });
  });

  it("are ignored where their names are not known: a project has roles of its own", () => {
    expect(rolesOf({ cook: { "1": "acme.example" }, ORG_OWNER: { "1": "acme.example" } }).roles).toEqual([
      { role: "ORG_OWNER", organizationId: "1" },
    ]);
  });

  it.each<[string, unknown]>([
    ["a name of the prototype", { constructor: { "1": "x" }, toString: { "1": "x" } }],
    ["__proto__ as a role", JSON.parse('{"__proto__":{"ORG_OWNER":{"1":"x"}}}')],
    ["no organization", { ORG_OWNER: {} }],
    ["an empty organization id", { ORG_OWNER: { "": "x" } }],
    ["an organization id that is too long", { ORG_OWNER: { ["1".repeat(201)]: "x" } }],
    ["an organization id with a line break", { ORG_OWNER: { "1\n": "x" } }],
    ["a domain that is none", { ORG_OWNER: { "1": 7, "2": null, "3": {}, "4": true } }],
    ["a list of organizations", { ORG_OWNER: ["1"], IAM_OWNER: ["1"] }],
    ["true", { ORG_OWNER: true, IAM_OWNER: true }],
    ["null", { ORG_OWNER: null, IAM_OWNER: null }],
    ["a deep nest", JSON.parse(`${'{"ORG_OWNER":'.repeat(2000)}{}${"}".repeat(2000)}`)],
  ])("are none with %s", (_, claim) => {
    expect(rolesOf(claim, { instanceRoles: true })).toEqual(none);
  });

  it("are read up to 1000", () => {
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`o${index}`, "x"]));
    const { roles } = rolesOf({ ORG_OWNER: many, ORG_USER_MANAGER: many, IAM_OWNER: many }, { instanceRoles: true });
    expect(roles).toHaveLength(1000);
  });
});

describe("roles in a list", () => {
  it.each<[string, unknown]>([
    ["an array", ["ORG_OWNER", "cook", "PROJECT_OWNER", "ORG_OWNER"]],
    ["a string with spaces", "ORG_OWNER cook  PROJECT_OWNER ORG_OWNER "],
  ])("are roles at home, from %s", (_, claim) => {
    expect(rolesOf(claim)).toEqual({ roles: [], homeRoles: ["ORG_OWNER", "PROJECT_OWNER"] });
  });

  it("count on the instance only where the issuer may give them", () => {
    expect(rolesOf(["IAM_OWNER", "ORG_OWNER"])).toEqual({ roles: [], homeRoles: ["ORG_OWNER"] });
    expect(rolesOf(["IAM_OWNER", "ORG_OWNER"], { instanceRoles: true })).toEqual({
      roles: [{ role: "IAM_OWNER" }],
      homeRoles: ["ORG_OWNER"],
    });
  });

  it.each<[string, unknown]>([
    ["numbers and objects", [7, null, {}, ["ORG_OWNER"], { ORG_OWNER: { "1": "x" } }, { toString: "ORG_OWNER" }]],
    ["names of the prototype", ["constructor", "__proto__", "hasOwnProperty"]],
    ["other letters", ["org_owner", "ORG_OWNER\n", "ORG_OWNER,"]],
    ["a deep nest", JSON.parse(`${"[".repeat(2000)}${"]".repeat(2000)}`)],
    ["an empty string", ""],
  ])("are none with %s", (_, claim) => {
    expect(rolesOf(claim, { instanceRoles: true })).toEqual(none);
  });
});

describe("a role claim", () => {
  it.each<[string, unknown]>([
    ["absent", undefined],
    ["null", null],
    ["a number", 1],
    ["true", true],
  ])("gives no role where it is %s", (_, claim) => {
    expect(rolesOf(claim, { instanceRoles: true })).toEqual(none);
  });

  it("is looked up by its whole name first", () => {
    const claims = { "realm_access.roles": ["ORG_OWNER"], realm_access: { roles: ["PROJECT_OWNER"] } };
    expect(read(claims, { roleClaim: "realm_access.roles" })?.homeRoles).toEqual(["ORG_OWNER"]);
  });

  it("is looked up as a path where nothing has its name", () => {
    const claims = { realm_access: { roles: ["ORG_OWNER"] } };
    expect(read(claims, { roleClaim: "realm_access.roles" })?.homeRoles).toEqual(["ORG_OWNER"]);
  });

  it.each<[string, Claims]>([
    ["a.b", { a: "ORG_OWNER" }],
    ["a.b", { a: null }],
    ["a.0", { a: ["ORG_OWNER"] }],
    ["a.constructor.name", { a: {} }],
    ["__proto__.ORG_OWNER", {}],
    ["constructor", {}],
    ["a..b", { a: { b: "ORG_OWNER" } }],
  ])("named %s finds nothing in %j", (name, claims) => {
    expect(read(claims, { roleClaim: name })).toMatchObject(none);
  });
});

describe("the home organization", () => {
  const onOne = { [roleClaim]: { ORG_OWNER: { "1": "x" }, ORG_USER_MANAGER: { "1": "x" } } };
  const onTwo = { [roleClaim]: { ORG_OWNER: { "1": "x" }, ORG_USER_MANAGER: { "2": "x" } } };

  it("is the user's resource owner", () => {
    expect(read({ [homeClaim]: "7", ...onOne })?.organizationId).toBe("7");
  });

  it.each<[string, unknown]>([
    ["empty", ""],
    ["a number", 7],
    ["longer than 200 characters", "7".repeat(201)],
    ["not text", "7\0"],
  ])("is the only one with roles where the resource owner is %s", (_, owner) => {
    expect(read({ [homeClaim]: owner, ...onOne })?.organizationId).toBe("1");
  });

  it("is not known where roles name several, or none", () => {
    expect(read(onTwo)).not.toHaveProperty("organizationId");
    expect(read({ [roleClaim]: ["ORG_OWNER"] })).not.toHaveProperty("organizationId");
    expect(read({ [roleClaim]: { IAM_OWNER: { "1": "x" } } }, { instanceRoles: true })).not.toHaveProperty(
      "organizationId",
    );
  });

  it("is not taken from roles that are not known", () => {
    expect(read({ [roleClaim]: { ORG_OWNER: { "1": "x" }, cook: { "2": "x" } } })?.organizationId).toBe("1");
  });
});
