import { mkdirSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Api } from "./api.ts";
import { databasePath, readEvents, verifyStore } from "./database.ts";
import { skipBecause, whyNoStrace } from "./machine.ts";
import { PortcullisProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

// Whenever the first start is killed, the next one works.

const serve = (data: string) => ["serve", "--listen", "127.0.0.1:0", "--data", data];

/** Starts again after a kill, and looks whether everything is there once and whole. */
async function checkNextStart(data: string): Promise<void> {
  await using server = await startServer({ data });
  expect(server.tokenPlace).toMatch(/^in .*admin\.token$/);
  expect(server.adminToken).toMatch(/^portcullis_[A-Za-z0-9_-]{43}$/);
  expect(statSync(`${data}/admin.token`).mode & 0o777).toBe(0o600);
  const api = new Api(server.url, server.adminToken);
  expect((await api.readInstance()).status).toBe(200);
  expect((await api.addFactor("OTP_SMS")).status).toBe(200);
  expect(readEvents(data).map(({ type }) => type)).toEqual([
    "InstanceCreated",
    "OrganizationAdded",
    "UserAdded",
    "RoleGranted",
    "TokenCreated",
    "LoginPolicyAdded",
    "SecondFactorAdded",
  ]);
  expect((await verifyStore(data)).problems).toEqual([]);
}

/** Kills it as soon as it serves, where nothing killed it before. Resolves to whether something did. */
async function endAtServing(first: PortcullisProcess): Promise<boolean> {
  const serves = await first.firstLine().then(
    () => true,
    () => false,
  );
  first.kill("SIGKILL");
  expect(await first.ended).toMatchObject({ signal: "SIGKILL" });
  return !serves;
}

describe.concurrent("a first start that is killed", () => {
  it.each([1, 6, 16])("at change %d in its directory is made up for by the next", async (count) => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    mkdirSync(data);
    let seen = 0;
    await using first = new PortcullisProcess(serve(data));
    const watcher = watch(data, () => {
      seen += 1;
      if (seen === count) first.kill("SIGKILL");
    });
    await endAtServing(first);
    watcher.close();
    await checkNextStart(data);
  });

  // By number, until the start has no such call left: first the store under a temporary name, then its name, the token
  // under a temporary name, its name, and the first transaction in the write-ahead log.
  const log = (data: string) => ["-P", `${databasePath(data)}-wal`];
  const token = (data: string) => ["-P", join(data, "admin.token")];
  it.for([
    { name: "a sync", call: "fsync", step: 4, atLeast: 2 },
    { name: "a new name", call: "/^link", step: 1, atLeast: 2 },
    { name: "a removal", call: "/^unlink", step: 2, atLeast: 1 },
    { name: "a use of the token's file", call: "/^(openat|write|fsync)$", step: 1, atLeast: 1, only: token },
    { name: "a sync of the log", call: "fsync", step: 1, atLeast: 1, only: log },
    { name: "a write to the log", call: "pwrite64", step: 4, atLeast: 2, only: log },
  ])("at $name is made up for by the next", async ({ call, step, atLeast, only }, context) => {
    skipBecause(context, whyNoStrace());
    let kills = 0;
    for (let count = 1; ; count += step) {
      using directory = new TemporaryDirectory();
      const data = directory.join("data");
      const kill = `inject=${call}:signal=SIGKILL:when=${count}`;
      const trace = ["-e", `trace=${call}`, "-o", directory.join("trace"), ...(only?.(data) ?? [])];
      const under = ["strace", "-D", "-f", ...trace, "-e", kill];
      await using first = new PortcullisProcess(serve(data), { under });
      if (!(await endAtServing(first))) break;
      kills += 1;
      await checkNextStart(data);
    }
    expect(kills).toBeGreaterThanOrEqual(atLeast);
  });
});
