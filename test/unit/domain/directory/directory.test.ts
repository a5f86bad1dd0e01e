import { describe, expect, it } from "vitest";
import * as clients from "../../../../src/domain/directory/clients.ts";
import { DirectoryError, type DirectoryErrorCode } from "../../../../src/domain/directory/errors.ts";
import * as organizations from "../../../../src/domain/directory/organizations.ts";
import * as roleGrants from "../../../../src/domain/directory/role-grants.ts";
import type { Role } from "../../../../src/domain/directory/roles.ts";
import * as users from "../../../../src/domain/directory/users.ts";
import type { ClientRegistration } from "../../../../src/domain/events.ts";
import { event, organizationAfter, userOf } from "../../../fixtures/builders.ts";

const directory = { ...clients, ...organizations, ...roleGrants, ...users };

const organization = (wanted: Partial<Parameters<typeof directory.addOrganization>[0]> = {}) =>
  directory.addOrganization({ id: "org-1", name: "Acme", sameId: undefined, nameTaken: false, ...wanted });
const user = (wanted: Partial<Parameters<typeof directory.addUser>[0]> = {}) =>
  directory.addUser({
    name: "ada",
    nameTaken: false,
    organizationId: "org-1",
    grant: { role: "IAM_OWNER" },
    ...wanted,
  });
const owner = { role: "ORG_OWNER", organizationId: "org-1" } as const;
const removed = organizationAfter(event.organizationRemoved());

interface Refused {
  readonly title: string;
  readonly act: () => unknown;
  readonly code: DirectoryErrorCode;
  readonly message: string;
}

const nameRule = "a name has 1 to 200 characters, no control characters, and no space at its start or end";
const idRule = "an organization id has 1 to 200 letters, digits, hyphens or underscores";

const badNames = ["", " ", " Acme", "Acme ", "Ac\nme", "Ac\u0000me", "Ac\u0085me", "a".repeat(201), "🔑".repeat(201)];
const badIds = ["", "a b", "a/b", "a,b", "ä", "org\n", "a".repeat(201)];

const refused: readonly Refused[] = [
  ...badNames.flatMap((name) => [
    {
      title: `an organization named ${JSON.stringify(name).slice(0, 20)}`,
      act: () => organization({ name }),
      code: "name_invalid" as const,
      message: nameRule,
    },
    {
      title: `a user named ${JSON.stringify(name).slice(0, 20)}`,
      act: () => user({ name }),
      code: "name_invalid" as const,
      message: nameRule,
    },
  ]),
  ...badIds.map((id) => ({
    title: `an organization with the id ${JSON.stringify(id).slice(0, 20)}`,
    act: () => organization({ id }),
    code: "id_invalid" as const,
    message: idRule,
  })),
  {
    title: "an organization whose id is in use",
    act: () => organization({ sameId: organizationAfter() }),
    code: "id_taken",
    message: "the organization id org-1 is or was in use: choose another one",
  },
  {
    title: "an organization whose id was in use",
    act: () => organization({ sameId: removed }),
    code: "id_taken",
    message: "the organization id org-1 is or was in use: choose another one",
  },
  {
    title: "an organization whose name is in use",
    act: () => organization({ nameTaken: true }),
    code: "name_taken",
    message: "there is an organization named Acme: choose another name",
  },
  {
    title: "a user whose name is in use",
    act: () => user({ nameTaken: true }),
    code: "name_taken",
    message: "there is a user named ada: choose another name",
  },
  {
    title: "removing an organization that never was",
    act: () => directory.removeOrganization(undefined, { id: "org-2", isDefault: false }),
    code: "organization_missing",
    message: "there is no organization org-2: org list shows all ids",
  },
  {
    title: "removing an organization twice",
    act: () => directory.removeOrganization(removed, { id: "org-2", isDefault: false }),
    code: "organization_missing",
    message: "there is no organization org-2: org list shows all ids",
  },
  {
    title: "removing the default organization",
    act: () => directory.removeOrganization(organizationAfter(), { id: "org-1", isDefault: true }),
    code: "organization_is_default",
    message: "the default organization org-1 cannot be removed",
  },
  {
    title: "an organization that was removed",
    act: () => directory.checkOrganization(removed, "org-2"),
    code: "organization_missing",
    message: "there is no organization org-2: org list shows all ids",
  },
  {
    title: "a role nobody knows",
    act: () => directory.grantOf("toString", "org-1"),
    code: "role_unknown",
    message: expect.stringMatching(/^toString is not a role; the roles are IAM_OWNER, .*, SELF_MANAGEMENT_GLOBAL$/),
  },
  {
    title: "a role on the instance with an organization",
    act: () => directory.grantOn("IAM_OWNER", { named: "org-1", byDefault: "org-1" }),
    code: "role_scope",
    message: "IAM_OWNER is a role on the whole instance: leave out the organization",
  },
  {
    title: "a role held already",
    act: () => directory.grantRole(userOf({ roles: [owner] }), owner),
    code: "role_held",
    message: "ada already has the role ORG_OWNER there",
  },
  {
    title: "revoking a role not held",
    act: () => directory.revokeRole(userOf(), owner),
    code: "role_not_held",
    message: "ada does not have the role ORG_OWNER there",
  },
  {
    title: "revoking a role held elsewhere",
    act: () => directory.revokeRole(userOf({ roles: [{ ...owner, organizationId: "org-2" }] }), owner),
    code: "role_not_held",
    message: "ada does not have the role ORG_OWNER there",
  },
  {
    title: "adding an application with a name that is taken",
    act: () => directory.addClient(application(), { nameTaken: true }),
    code: "name_taken",
    message: "there is an application named Console: choose another name",
  },
  {
    title: "adding an application with nowhere to return to",
    act: () => directory.addClient(application({ redirectUris: [] }), { nameTaken: false }),
    code: "redirect_uri_missing",
    message: "an application needs at least one redirect URI",
  },
  {
    title: "adding an application with https on this machine beside a scheme of its own",
    act: () =>
      directory.addClient(application({ redirectUris: ["https://localhost:4200/cb", "com.example.app:/cb"] }), {
        nameTaken: false,
      }),
    code: "redirect_uri_invalid",
    message:
      "one application cannot have both https://localhost:4200/cb and com.example.app:/cb: use http for this machine",
  },
  ...[
    "http://app.example/cb",
    "http://127.0.0.1.evil.example/cb",
    "http://localhost.evil.example/cb",
    "https://app.example/cb#fragment",
    "https://*.app.example/cb",
    "https://user@app.example/cb",
    "https://user:secret@app.example/cb",
    "https:///cb",
    "https:app.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "app:/cb",
    "HTTPS://app.example/cb",
    "https://app.example\\@evil.example/cb",
    "https://app.example/c b",
    "https://app.example/\n",
    "//app.example/cb",
    "/cb",
    "",
    `https://app.example/${"a".repeat(2000)}`,
  ].map((uri) => ({
    title: `adding an application that returns to ${uri.slice(0, 60)}`,
    act: () =>
      directory.addClient(application({ redirectUris: ["https://app.example/cb", uri] }), { nameTaken: false }),
    code: "redirect_uri_invalid" as const,
    message: `a redirect URI is https://…, http:// on this machine (127.0.0.1, [::1] or localhost), or has a private scheme that contains a dot; it has no fragment and no wildcard: ${uri}`,
  })),
];

function application(wanted: Partial<ClientRegistration> = {}): ClientRegistration {
  return { name: "Console", redirectUris: ["https://app.example/cb"], ...wanted };
}

/** What needs the store to be seen, and is raised in commands/; and what owners.test.ts has. */
const raisedByCommands: readonly DirectoryErrorCode[] = [
  "owner_last",
  "user_missing",
  "token_missing",
  "key_missing",
  "client_missing",
  "not_set_up",
];

describe("a refused change", () => {
  it.each(refused)("$title: $code", ({ act, code, message }) => {
    expect(errorOf(act)).toEqual({ name: "DirectoryError", code, message });
  });

  it("has a case for each code of the pure part", () => {
    const every: Record<DirectoryErrorCode, true> = {
      name_invalid: true,
      id_invalid: true,
      id_taken: true,
      name_taken: true,
      organization_missing: true,
      organization_is_default: true,
      user_missing: true,
      owner_last: true,
      role_unknown: true,
      role_scope: true,
      role_held: true,
      role_not_held: true,
      token_missing: true,
      key_missing: true,
      client_missing: true,
      redirect_uri_missing: true,
      redirect_uri_invalid: true,
      not_set_up: true,
    };
    const reached = new Set([...refused.map(({ code }) => code), ...raisedByCommands]);
    expect([...reached].sort()).toEqual(Object.keys(every).sort());
  });
});

describe("an accepted change", () => {
  it.each([
    "https://app.example/cb?x=1",
    "https://app.example",
    "https://app.example:8443/",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:9000/cb",
    "http://localhost:9000/cb",
    "http://[::1]:9000/cb",
    "com.example.app:/cb",
    "com.example.app://cb",
  ])("takes the redirect URI %s", (uri) => {
    const wanted = application({ redirectUris: [uri] });
    expect(directory.addClient(wanted, { nameTaken: false })).toEqual([
      { type: "ClientAdded", version: 1, payload: wanted },
    ]);
  });

  it.each(["A", "Ada Lovelace", "ÄÖÜ ß 漢字", "a".repeat(200), "🔑".repeat(200), "a:b/c"])(
    "takes the name %s",
    (name) => {
      expect(organization({ name })).toEqual([event.organizationAdded(name)]);
      expect(user({ name })[0]).toEqual(event.userAdded(name));
    },
  );

  it.each(["1", "a-b_C9", "a".repeat(200)])("takes the organization id %s", (id) => {
    expect(organization({ id })).toHaveLength(1);
  });

  it("adds a user with one role", () => {
    expect(user({ grant: owner })).toEqual([event.userAdded(), { type: "RoleGranted", version: 1, payload: owner }]);
  });

  it("removes an organization that is not the default one", () => {
    expect(directory.removeOrganization(organizationAfter(), { id: "org-2", isDefault: false })).toEqual([
      event.organizationRemoved(),
    ]);
  });

  it("grants the same role on another organization", () => {
    const grant = { ...owner, organizationId: "org-2" };
    expect(directory.grantRole(userOf({ roles: [owner] }), grant)).toEqual([
      { type: "RoleGranted", version: 1, payload: grant },
    ]);
  });

  it("revokes a role that is held", () => {
    expect(directory.revokeRole(userOf({ roles: [owner] }), owner)).toEqual([
      { type: "RoleRevoked", version: 1, payload: owner },
    ]);
  });

  it("removes users, and creates and revokes tokens, in one event each", () => {
    expect(directory.removeUser()).toEqual([event.userRemoved()]);
    expect(directory.createToken({ tokenId: "t1", digest: "d1", expiresAt: 5 })).toEqual([
      { type: "TokenCreated", version: 1, payload: { tokenId: "t1", digest: "d1", expiresAt: 5 } },
    ]);
    expect(directory.revokeToken("t1")).toEqual([{ type: "TokenRevoked", version: 1, payload: { tokenId: "t1" } }]);
  });
});

describe("the place of a grant", () => {
  it.each<{ role: Role; named?: string; place: string | undefined }>([
    { role: "IAM_OWNER", place: undefined },
    { role: "SYSTEM_OWNER", place: undefined },
    { role: "ORG_OWNER", place: "org-default" },
    { role: "ORG_OWNER", named: "org-2", place: "org-2" },
    { role: "PROJECT_OWNER", named: "org-2", place: "org-2" },
  ])("of $role, with organization $named, is $place", ({ role, named, place }) => {
    const grant = directory.grantOn(role, { named, byDefault: "org-default" });
    expect(grant).toEqual({ role, ...(place !== undefined && { organizationId: place }) });
  });

  it("of a role for a new user is the user's organization, unless the role is on the instance", () => {
    expect(directory.grantOf("ORG_OWNER", "org-1")).toEqual(owner);
    expect(directory.grantOf("IAM_OWNER", "org-1")).toEqual({ role: "IAM_OWNER" });
  });
});

function errorOf(act: () => unknown) {
  try {
    act();
  } catch (reason) {
    if (!(reason instanceof DirectoryError)) throw reason;
    return { name: reason.name, code: reason.code, message: reason.message };
  }
  throw new Error("it was not refused");
}
