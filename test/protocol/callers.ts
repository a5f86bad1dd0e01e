// Who may do what, written out: no expectation comes from the source's roles, so that a change of them has to be made here too.
import { Code } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { digestToken, generateToken } from "../../src/auth/token.ts";
import { instanceRef, organizationRef } from "../../src/store/store.ts";
import { type Client, createClients } from "../fixtures/clients.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";

export const all = [
  "policy.read",
  "policy.write",
  "policy.delete",
  "iam.policy.read",
  "iam.policy.write",
  "iam.policy.delete",
] as const;
export type Permission = (typeof all)[number];

export const viewInstance: Permission[] = ["policy.read", "iam.policy.read"];
export const organization: Permission[] = ["policy.read", "policy.write", "policy.delete"];
export const read: Permission[] = ["policy.read"];
export const nothing: Permission[] = [];

/** ZITADEL's default roles. */
export const instanceRoles: Readonly<Record<string, readonly Permission[]>> = {
  IAM_OWNER: all,
  IAM_OWNER_VIEWER: viewInstance,
  IAM_ORG_MANAGER: organization,
  IAM_LOGIN_CLIENT: viewInstance,
  IAM_USER_MANAGER: nothing,
  IAM_ADMIN_IMPERSONATOR: nothing,
  IAM_END_USER_IMPERSONATOR: nothing,
  SYSTEM_OWNER: nothing,
  SYSTEM_OWNER_VIEWER: nothing,
};
export const organizationRoles: Readonly<Record<string, readonly Permission[]>> = {
  ORG_OWNER: organization,
  ORG_SETTINGS_MANAGER: organization,
  ORG_OWNER_VIEWER: read,
  ORG_USER_MANAGER: read,
  ORG_USER_PERMISSION_EDITOR: read,
  ORG_PROJECT_PERMISSION_EDITOR: read,
  ORG_PROJECT_CREATOR: read,
  ORG_USER_SELF_MANAGER: read,
  ORG_ADMIN_IMPERSONATOR: nothing,
  ORG_END_USER_IMPERSONATOR: nothing,
  PROJECT_OWNER: read,
  PROJECT_OWNER_VIEWER: read,
  PROJECT_OWNER_GLOBAL: read,
  PROJECT_OWNER_VIEWER_GLOBAL: read,
  PROJECT_GRANT_OWNER: read,
  PROJECT_GRANT_OWNER_VIEWER: read,
  SELF_MANAGEMENT_GLOBAL: read,
};

/** What comes of a call; `http` is the status over REST. */
export interface Outcome {
  readonly code: Code | 0;
  readonly http: number;
  /** The id in the ErrorDetail; absent: there is no ErrorDetail. */
  readonly id?: string;
}

export const forbidden: Outcome = { code: Code.PermissionDenied, http: 403, id: "AUTH-5mWD2" };
export const noOrganization: Outcome = { code: Code.PermissionDenied, http: 403, id: "AUTH-Bs7Ds" };
export const noHeader: Outcome = { code: Code.Unauthenticated, http: 401 };
export const badToken: Outcome = { code: Code.Unauthenticated, http: 401, id: "AUTH-7fs1e" };

const protocols = ["gRPC", "gRPC-Web", "Connect with proto", "Connect with JSON", "REST"] as const;

/**
 * The organization that x-zitadel-orgid names. `another` is the default one; `own` is the home of every caller whose home was
 * not removed.
 */
export const places = ["none", "own", "another", "unknown", "removed"] as const;
export type Place = (typeof places)[number];

/** What a caller may do in a place, and what answers everything else. */
export interface Rights {
  readonly granted: readonly Permission[];
  readonly refusal: Outcome;
}
export type RightsByPlace = Readonly<Record<Place, Rights>>;

const may = (granted: readonly Permission[]): Rights => ({ granted, refusal: forbidden });
const refused = (refusal: Outcome): Rights => ({ granted: nothing, refusal });
const everywhere = (rights: Rights): RightsByPlace => ({
  none: rights,
  own: rights,
  another: rights,
  unknown: rights,
  removed: rights,
});

/** A role on the instance counts for every organization, and lets its holder learn which ones do not exist. */
const onInstance = (granted: readonly Permission[]): RightsByPlace => ({
  none: may(granted),
  own: may(granted),
  another: may(granted),
  unknown: refused(noOrganization),
  removed: refused(noOrganization),
});
/** A role on an organization counts there alone, and lets its holder learn nothing of the others. */
const onOrganization = (granted: readonly Permission[]): RightsByPlace => ({
  none: may(granted),
  own: may(granted),
  another: refused(forbidden),
  unknown: refused(forbidden),
  removed: refused(forbidden),
});

interface Organizations {
  readonly own: string;
  readonly another: string;
  readonly removed: string;
}
export interface Caller {
  readonly name: string;
  /** By default `own`. */
  readonly home?: keyof Organizations;
  /** The roles, each with its organization; without one it is a role on the instance. */
  readonly holds?: readonly { readonly role: string; readonly on?: keyof Organizations }[];
  /** Instead of that of a user with these roles; `none`: there is no Authorization header. */
  readonly token?: "none" | "unknown";
  readonly rights: RightsByPlace;
}

export const callers: readonly Caller[] = [
  ...Object.entries(instanceRoles).map(([role, granted]) => ({
    name: role,
    holds: [{ role }],
    rights: onInstance(granted),
  })),
  ...Object.entries(organizationRoles).map(([role, granted]) => ({
    name: role,
    holds: [{ role, on: "own" as const }],
    rights: onOrganization(granted),
  })),
  { name: "nobody: no token", token: "none", rights: everywhere(refused(noHeader)) },
  { name: "nobody: an unknown token", token: "unknown", rights: everywhere(refused(badToken)) },
  { name: "a user without any role", holds: [], rights: everywhere(refused(forbidden)) },
  {
    name: "the owner of another organization alone",
    holds: [{ role: "ORG_OWNER", on: "another" }],
    rights: { ...everywhere(refused(forbidden)), another: may(organization) },
  },
  {
    name: "a viewer of the own organization who owns another one",
    holds: [
      { role: "ORG_OWNER_VIEWER", on: "own" },
      { role: "ORG_OWNER", on: "another" },
    ],
    rights: { ...onOrganization(read), another: may(organization) },
  },
  {
    name: "the owner of an organization with a role on the instance that grants nothing",
    holds: [{ role: "ORG_OWNER", on: "own" }, { role: "IAM_USER_MANAGER" }],
    rights: { ...onInstance(organization), another: refused(forbidden) },
  },
  {
    name: "the owner of an organization who may read the instance",
    holds: [{ role: "ORG_OWNER", on: "own" }, { role: "IAM_OWNER_VIEWER" }],
    rights: { ...onInstance([...organization, "iam.policy.read"]), another: may(viewInstance) },
  },
  {
    name: "the owner of an organization that was removed",
    home: "removed",
    holds: [{ role: "ORG_OWNER", on: "removed" }],
    rights: everywhere(refused(forbidden)),
  },
  {
    name: "the owner of the instance at home in an organization that was removed",
    home: "removed",
    holds: [{ role: "IAM_OWNER" }],
    rights: { ...onInstance(all), none: refused(noOrganization) },
  },
];

/** The token of a new caller; undefined where there is to be no header. */
async function createCaller(
  { directory, credentials }: TestServer,
  organizations: Organizations,
  { name, home = "own", holds = [], token: kind }: Caller,
): Promise<string | undefined> {
  if (kind === "none") return undefined;
  const token = generateToken();
  if (kind === "unknown") return token;
  // A user is added with a role, which is taken away again: what is left are the roles of the table alone.
  const added = { name, role: "ORG_OWNER", organizationId: organizations[home] };
  await directory.addUser(added);
  await directory.revokeRole(added);
  for (const { role, on } of holds) {
    await directory.grantRole({ name, role, ...(on && { organizationId: organizations[on] }) });
  }
  await credentials.createToken({ userName: name, digest: digestToken(token) });
  return token;
}

export function outcomeText(code: number, id: unknown, http: number | undefined): string {
  return [code === 0 ? "OK" : (Code[code] ?? code), id, http].filter((part) => part !== undefined).join(" ");
}

/** What the tests of callers stand on. */
export interface Stage {
  readonly server: TestServer;
  /** One for each protocol. */
  readonly clients: readonly Client[];
  readonly organizations: Organizations;
  /** Undefined: the caller has none. */
  readonly tokens: ReadonlyMap<Caller, string | undefined>;
}

/** A server with every caller, for the tests of a `describe`. It is there once they run, and none of them may change a policy. */
export function useCallers(): Stage {
  const stage = {} as { -readonly [Name in keyof Stage]: Stage[Name] };
  let versions: readonly number[];
  async function readVersions(): Promise<readonly number[]> {
    const refs = [instanceRef, ...Object.values(stage.organizations).map(organizationRef)];
    const view = await stage.server.store.read(refs);
    return refs.map((ref) => view.get(ref).version);
  }
  beforeAll(async () => {
    const server = await startTestServer();
    const own = await server.directory.addOrganization("Own");
    const removed = await server.directory.addOrganization("Removed");
    const organizations = { own: own.id, another: server.defaultOrganization, removed: removed.id };
    const created = callers.map(async (caller) => [caller, await createCaller(server, organizations, caller)] as const);
    const tokens = new Map(await Promise.all(created));
    await server.directory.removeOrganization(removed.id);
    Object.assign(stage, { server, clients: createClients(server.url), organizations, tokens });
    expect(stage.clients.map(({ protocol }) => protocol).sort()).toEqual([...protocols].sort());
    versions = await readVersions();
  });
  afterEach(async () => {
    // A row that changed something would make the answers depend on the order of the calls.
    expect(await readVersions()).toEqual(versions);
    expect(stage.server.failures).toEqual([]);
  });
  afterAll(async () => {
    for (const client of stage.clients) client.close();
    await stage.server.close();
  });
  return stage;
}
