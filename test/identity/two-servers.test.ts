// One server trusts the built-in issuer of another: it asks there about tokens, by introspection.

import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken } from "../../src/auth/token.ts";
import { readConfig } from "../../src/config.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { redeem, signIn, Visitor } from "../fixtures/visitor.ts";
import { TemporaryDirectory } from "../process/portcullis.ts";

const organization = "shared-1";
let home: TestServer;
let other: TestServer;

beforeAll(async () => {
  home = await startTestServer({ issuer: {} });
  const { directory, credentials } = home;
  await directory.addUser({ name: "other server", role: "ORG_OWNER_VIEWER" });
  await credentials.setSecret({ userName: "other server", digest: digestToken("asks") });
  await directory.addOrganization("Shared", organization);
  await directory.addUser({ name: "robot", role: "ORG_OWNER", organizationId: organization });
  await credentials.setSecret({ userName: "robot", digest: digestToken("calls") });
  using folder = new TemporaryDirectory();
  const secretFile = folder.join("secret");
  writeFileSync(secretFile, "asks");
  const setting = `${home.url},client-id=other server,client-secret-file=${secretFile}`;
  const { oidcIssuers } = readConfig({ listen: "127.0.0.1:0", data: "/nowhere", oidcIssuer: [setting] }, {});
  other = await startTestServer({ issuer: {}, oidcIssuers });
  await other.directory.addOrganization("Shared", organization);
});
afterAll(async () => {
  await other.close();
  await home.close();
  expect([...home.failures, ...other.failures]).toEqual([]);
});

async function tokenOf(name: string, secret: string, scope: string): Promise<string> {
  const answer = await fetch(`${home.url}/oauth/v2/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${encodeURIComponent(name)}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope }),
  });
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function call(token: string, path = "/management/v1/policies/login"): Promise<number> {
  const { status, body } = await fetch(other.url + path, { headers: { authorization: `Bearer ${token}` } });
  await body?.cancel();
  return status;
}

describe("a token of one server at another that trusts its issuer", () => {
  it("counts with the roles that its user has there", async () => {
    const token = await tokenOf("robot", "calls", `openid ${apiScope}`);
    expect(await call(token)).toBe(200);
    expect(await call(token, "/admin/v1/policies/login")).toBe(403);
  });

  it("counts on the instance only where that issuer may say so", async () => {
    await home.directory.addUser({ name: "owner", role: "IAM_OWNER" });
    await home.credentials.setSecret({ userName: "owner", digest: digestToken("owns") });
    expect(await call(await tokenOf("owner", "owns", apiScope), "/admin/v1/policies/login")).toBe(403);
  });

  it("is refused without the scope of the API, as it is at home", async () => {
    expect(await call(await tokenOf("robot", "calls", "openid"))).toBe(401);
  });

  it("is refused where its user was removed, which is asked at home", async () => {
    await home.directory.addUser({ name: "leaver", role: "ORG_OWNER", organizationId: organization });
    await home.credentials.setSecret({ userName: "leaver", digest: digestToken("leaves") });
    const token = await tokenOf("leaver", "leaves", apiScope);
    await home.directory.removeUser("leaver");
    expect(await call(token)).toBe(401);
  });

  it("is an access token: a refresh token is none", async () => {
    const password = "correct horse battery";
    await home.directory.addUser({ name: "ada", role: "ORG_OWNER", organizationId: organization });
    await home.credentials.setPassword({ userName: "ada", hash: await hashPassword(password) });
    const redirectUri = "http://127.0.0.1:9/cb";
    const clientId = await home.clients.add({ name: "Console", redirectUris: [redirectUri] });
    const app = { issuer: home.url, clientId, redirectUri, scope: `openid offline_access ${apiScope}` };
    const { returned, verifier } = await signIn(new Visitor(), { ...app, userName: "ada", password });
    const answer = await redeem(app, { code: returned.searchParams.get("code") ?? "", verifier });
    const tokens = (await answer.json()) as { access_token: string; refresh_token: string };
    expect(await call(tokens.access_token)).toBe(200);
    expect(await call(tokens.refresh_token)).toBe(401);
  });
});
