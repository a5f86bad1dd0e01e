import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SecondFactorType as Second } from "../../gen/zitadel/policy_pb.ts";
import { type Client, createClients } from "../fixtures/clients.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { admin, call, management } from "./case.ts";

/** A call for each permission, whose answer shows that it passed the gate and which changes nothing. */
const calls = {
  "policy.read": { ...call(management.listLoginPolicySecondFactors), passed: 0 },
  "policy.write": { ...call(management.updateCustomLoginPolicy), passed: 5 },
  "policy.delete": { ...call(management.resetLoginPolicyToDefault), passed: 5 },
  "iam.policy.read": { ...call(admin.listLoginPolicySecondFactors), passed: 0 },
  "iam.policy.write": { ...call(admin.removeSecondFactorFromLoginPolicy, { type: Second.OTP_SMS }), passed: 5 },
} as const;
type Permission = keyof typeof calls;

const all: Permission[] = ["policy.read", "policy.write", "policy.delete", "iam.policy.read", "iam.policy.write"];
const organization: Permission[] = ["policy.read", "policy.write", "policy.delete"];
const read: Permission[] = ["policy.read"];

/** ZITADEL's default roles. */
const table: Readonly<Record<string, readonly Permission[]>> = {
  IAM_OWNER: all,
  IAM_OWNER_VIEWER: ["policy.read", "iam.policy.read"],
  IAM_ORG_MANAGER: organization,
  IAM_LOGIN_CLIENT: ["policy.read", "iam.policy.read"],
  IAM_USER_MANAGER: [],
  IAM_ADMIN_IMPERSONATOR: [],
  IAM_END_USER_IMPERSONATOR: [],
  ORG_OWNER: organization,
  ORG_SETTINGS_MANAGER: organization,
  ORG_OWNER_VIEWER: read,
  ORG_USER_MANAGER: read,
  ORG_USER_PERMISSION_EDITOR: read,
  ORG_PROJECT_PERMISSION_EDITOR: read,
  ORG_PROJECT_CREATOR: read,
  ORG_USER_SELF_MANAGER: read,
  ORG_ADMIN_IMPERSONATOR: [],
  ORG_END_USER_IMPERSONATOR: [],
  PROJECT_OWNER: read,
  PROJECT_OWNER_VIEWER: read,
  PROJECT_OWNER_GLOBAL: read,
  PROJECT_OWNER_VIEWER_GLOBAL: read,
  PROJECT_GRANT_OWNER: read,
  PROJECT_GRANT_OWNER_VIEWER: read,
  SELF_MANAGEMENT_GLOBAL: read,
  SYSTEM_OWNER: [],
  SYSTEM_OWNER_VIEWER: [],
};

describe("the permissions of a role", () => {
  let server: TestServer;
  let clients: readonly Client[];
  beforeAll(async () => {
    server = await startTestServer();
    clients = createClients(server.url);
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await server.close();
  });

  it.each(Object.entries(table))("%s", async (role, granted) => {
    const token = await server.createCaller(role);
    for (const client of clients) {
      const allowed = [];
      for (const permission of all) {
        const { passed, ...request } = calls[permission];
        const answer = await client.call({ ...request, headers: { authorization: `Bearer ${token}` } });
        if (answer.code === passed) allowed.push(permission);
        else expect(answer.details).toMatchObject([{ id: "AUTH-5mWD2" }]);
      }
      expect(allowed, client.protocol).toEqual(granted);
    }
  });
});
