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
