// @zitadel/node with a key file: its own discovery and login against the built-in issuer, then its gRPC client.
import { readFileSync } from "node:fs";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { secondFactorTypeFromJSON, secondFactorTypeToJSON } from "@zitadel/node/dist/api/generated/zitadel/policy.js";
import {
  createAccessTokenInterceptor,
  createManagementClient,
  createServiceAccountInterceptor,
} from "@zitadel/node/dist/api/index.js";
import { ServiceAccount } from "@zitadel/node/dist/credentials/index.js";
import { Status } from "nice-grpc";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { runCommand, runJson, TemporaryDirectory } from "../process/portcullis.ts";
import { certificate, type PortName, ports } from "./ports.ts";

// grpc-js reads this variable when it is imported.
vi.hoisted(() => {
  process.env["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = `${import.meta.dirname}/../fixtures/tls/localhost.cert.pem`;
});

const authorities = getCACertificates();
beforeAll(() => setDefaultCACertificates([...authorities, certificate]));
afterAll(() => setDefaultCACertificates(authorities));

const sms = secondFactorTypeFromJSON("SECOND_FACTOR_TYPE_OTP_SMS");
const email = secondFactorTypeFromJSON("SECOND_FACTOR_TYPE_OTP_EMAIL");

describe.each(Object.keys(ports) as PortName[])("a key file in @zitadel/node, %s", (port) => {
  let directory: TemporaryDirectory;
  let data: string;
  let server: TestServer;

  beforeEach(async () => {
    directory = new TemporaryDirectory();
    data = directory.path;
    server = await startTestServer({
      ...ports[port],
      issuer: {},
      location: `sqlite:${directory.join("portcullis.db")}`,
    });
    await runJson(data, "user", "add", "deployer", "--role", "ORG_OWNER");
  });
  afterEach(async () => {
    await server.close();
    directory[Symbol.dispose]();
    expect(server.failures).toEqual([]);
  });

  /** A service account from a file that the command line wrote beside the running server. */
  async function createAccount(): Promise<ServiceAccount> {
    const file = directory.join("key.json");
    const ended = await runCommand(["key", "create", "--user", "deployer", "--out", file, "--data", data]);
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    return ServiceAccount.fromJsonString(readFileSync(file, "utf8"));
  }

  const clientOf = (account: ServiceAccount) =>
    createManagementClient(server.url, createServiceAccountInterceptor(server.url, account, { apiAccess: true }));

  it("logs in by itself, adds a factor and lists it", async () => {
    const client = clientOf(await createAccount());
    const { details } = await client.addSecondFactorToLoginPolicy({ type: sms });
    expect(details?.resourceOwner).toBe(server.defaultOrganization);
    const { result } = await client.listLoginPolicySecondFactors({});
    expect(result.map(secondFactorTypeToJSON)).toEqual([
      "SECOND_FACTOR_TYPE_OTP",
      "SECOND_FACTOR_TYPE_U2F",
      "SECOND_FACTOR_TYPE_OTP_SMS",
    ]);
  });

  it("is refused on the next call after its key was removed, and cannot log in again", async () => {
    const account = await createAccount();
    const client = clientOf(account);
    await client.addSecondFactorToLoginPolicy({ type: sms });
    await runJson(data, "key", "remove", account.keyId);
    await expect(client.addSecondFactorToLoginPolicy({ type: email })).rejects.toMatchObject({
      code: Status.UNAUTHENTICATED,
      details: expect.stringContaining("(AUTH-7fs1e)"),
    });
    await expect(account.authenticate(server.url, { apiAccess: true })).rejects.toMatchObject({
      response: { status: 400, data: { error: "invalid_grant" } },
    });
    // The interceptor of another client has no token yet.
    await expect(clientOf(account).listLoginPolicySecondFactors({})).rejects.toMatchObject({
      response: { status: 400 },
    });
  });

  it("loses one key and logs in with another", async () => {
    const first = await createAccount();
    const second = ServiceAccount.fromJson(await runJson(data, "key", "create", "--user", "deployer"));
    const client = clientOf(second);
    await client.addSecondFactorToLoginPolicy({ type: sms });
    await runJson(data, "key", "remove", first.keyId);
    await client.addSecondFactorToLoginPolicy({ type: email });
    expect(await second.authenticate(server.url, { apiAccess: true })).not.toBe("");
  });

  it("may do what its user's roles allow, as they are at each call", async () => {
    await runJson(data, "user", "add", "reader", "--role", "ORG_OWNER_VIEWER");
    const account = ServiceAccount.fromJson(await runJson(data, "key", "create", "--user", "reader"));
    const client = clientOf(account);
    expect((await client.listLoginPolicySecondFactors({})).result).toHaveLength(2);
    await expect(client.addSecondFactorToLoginPolicy({ type: sms })).rejects.toMatchObject({
      code: Status.PERMISSION_DENIED,
    });
    await runJson(data, "user", "grant", "reader", "--role", "ORG_OWNER");
    await client.addSecondFactorToLoginPolicy({ type: sms });
    await runJson(data, "user", "remove", "reader");
    await expect(client.listLoginPolicySecondFactors({})).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
  });

  it("needs the access to the API that it asks for", async () => {
    const account = await createAccount();
    const client = createManagementClient(server.url, createServiceAccountInterceptor(server.url, account));
    await expect(client.listLoginPolicySecondFactors({})).rejects.toMatchObject({ code: Status.UNAUTHENTICATED });
  });

  it("gets a token that counts by itself", async () => {
    const token = await (await createAccount()).authenticate(server.url, { apiAccess: true });
    const client = createManagementClient(server.url, createAccessTokenInterceptor(token));
    expect((await client.listLoginPolicySecondFactors({})).result).toHaveLength(2);
  });
});
