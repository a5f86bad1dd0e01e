import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";

const index = new URL("../../src/index.ts", import.meta.url).href;

/** Runs a program of a few lines as a process of its own, which must end by itself. */
function runProgram(
  source: string,
): Promise<{ readonly exitCode: number | null; readonly stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { timeout: 20_000 });
    const written = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      written.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      written.stderr += text;
    });
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, ...written }));
  });
}

describe.concurrent("startServer", () => {
  it("serves with its token until it is closed, and then keeps nothing alive", async () => {
    const { exitCode, stdout, stderr } = await runProgram(`
      import { connect } from "node:net";
      import { startServer } from ${JSON.stringify(index)};
      const server = await startServer();
      const read = (token) =>
        fetch(server.url + "/admin/v1/policies/login", { headers: { authorization: "Bearer " + token } });
      const seen = { url: server.url, good: (await read(server.adminToken)).status, bad: (await read("bad")).status };
      await server.close();
      seen.after = await new Promise((resolve) => {
        const socket = connect(new URL(server.url).port, "127.0.0.1");
        socket.once("connect", () => resolve("connected"));
        socket.once("error", (error) => resolve(error.code));
      });
      await server.close();
      console.log(JSON.stringify(seen));
    `);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/),
      good: 200,
      bad: 401,
      after: "ECONNREFUSED",
    });
  });

  it("is an issuer: a key file, a password and an application lead to tokens that it accepts", async () => {
    const { exitCode, stdout, stderr } = await runProgram(`
      import { SignJWT } from "jose";
      import { createPrivateKey } from "node:crypto";
      import { startServer } from ${JSON.stringify(index)};
      const server = await startServer();
      const { type, keyId, key, userId } = await server.createKeyFile();
      await server.setPassword("correct horse battery");
      const redirectUris = ["http://127.0.0.1/cb"];
      const clientId = await server.addClient({ name: "Test", redirectUris });
      const discovery = await (await fetch(server.url + "/.well-known/openid-configuration")).json();
      const assertion = await new SignJWT()
        .setProtectedHeader({ alg: "RS256", kid: keyId })
        .setIssuer(userId).setSubject(userId).setAudience(server.url).setIssuedAt().setExpirationTime("1h")
        .sign(createPrivateKey(key));
      const answer = await fetch(discovery.token_endpoint, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
          assertion,
          scope: "openid urn:zitadel:iam:org:project:id:zitadel:aud",
        }),
      });
      const { access_token } = await answer.json();
      const call = await fetch(server.url + "/admin/v1/policies/login", { headers: { authorization: "Bearer " + access_token } });
      const query = new URLSearchParams({
        client_id: clientId, redirect_uri: redirectUris[0], response_type: "code", scope: "openid",
        code_challenge: "a".repeat(43), code_challenge_method: "S256",
      });
      const begun = await fetch(discovery.authorization_endpoint + "?" + query, { redirect: "manual" });
      console.log(JSON.stringify({ type, issuer: discovery.issuer === server.url, call: call.status, begun: begun.status,
        location: begun.headers.get("location") }));
      await server.close();
    `);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      type: "serviceaccount",
      issuer: true,
      call: 200,
      begun: 303,
      location: expect.stringMatching(/\/sign-in\/[\w-]+$/),
    });
  });

  it("starts servers that know nothing of each other", async () => {
    const { exitCode, stdout, stderr } = await runProgram(`
      import { startServer } from ${JSON.stringify(index)};
      const servers = await Promise.all([startServer(), startServer()]);
      const statuses = [];
      for (const { url } of servers) {
        for (const { adminToken } of servers) {
          const headers = { authorization: "Bearer " + adminToken };
          statuses.push((await fetch(url + "/admin/v1/policies/login", { headers })).status);
        }
      }
      await Promise.all(servers.map((server) => server.close()));
      console.log(JSON.stringify(statuses));
    `);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual([200, 401, 401, 200]);
  });

  it("lets a call in flight end when it is closed", async () => {
    const { exitCode, stdout, stderr } = await runProgram(`
      import { request } from "node:http";
      import { startServer } from ${JSON.stringify(index)};
      const server = await startServer();
      const body = JSON.stringify({ type: "SECOND_FACTOR_TYPE_OTP_SMS" });
      const headers = {
        authorization: "Bearer " + server.adminToken,
        "content-type": "application/json",
        "content-length": body.length,
      };
      const sent = request(server.url + "/management/v1/policies/login/second_factors", { method: "POST", headers });
      const answer = new Promise((resolve) => sent.once("response", (response) => resolve(response.statusCode)));
      // The head and a part of the body: the call has begun.
      await new Promise((resolve) => sent.write(body.slice(0, 5), resolve));
      await (await fetch(server.url + "/admin/v1/policies/login", { headers: { authorization: headers.authorization } })).text();
      const closed = server.close();
      sent.end(body.slice(5));
      console.log(JSON.stringify([await answer, await closed]));
    `);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual([200, null]);
  });
});
