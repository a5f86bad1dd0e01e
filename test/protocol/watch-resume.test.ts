import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { backupStore } from "../../src/store/open.ts";
import { sampleNote, sampleSeed } from "../fixtures/sample.ts";
import { createRandom } from "../process/random.ts";
import { wantedRevisions, watchRandomly, writeRandomly } from "./random-watches.ts";
import { addOrganization, bearer, clientOf, instanceName, nameOf, start, update, watch } from "./watching.ts";

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-watch-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
const locate = (directory: string, name = "store.db") => `sqlite:${join(directory, name)}`;

it("sends the changes that another process makes on the file", async () => {
  const location = locate(makeDirectory());
  const [server, other] = [await start({ location }), await start({ location })];
  const watching = watch(other, server.adminToken);
  await watching.next();
  await update(server, instanceName, { forceMfa: true });
  expect((await watching.change()).text).toContain(`${instanceName} force_mfa`);
});

it("resumes on another server of the same store, and after a restart", async () => {
  const location = locate(makeDirectory());
  const first = await start({ location });
  const { adminToken } = first;
  const watching = watch(first, adminToken);
  const { resumeToken: began } = await watching.next();
  await update(first, instanceName, { forceMfa: true });
  const change = await watching.change();
  const closed = first.close({ graceMs: 5_000 });
  expect(await watching.end()).toMatchObject({ code: Code.Unavailable });
  await closed;
  const second = await start({ location });
  expect(await watch(second, adminToken, { resumeToken: began }).change()).toEqual(change);
  const resumed = watch(second, adminToken, { resumeToken: change.token });
  await resumed.next();
  await update({ ...second, adminToken }, instanceName, { forceMfa: false });
  expect((await resumed.change()).text).toContain("revisions/3");
});

it("refuses tokens from after a backup on the store that was restored from it, and takes those from before", async () => {
  const directory = makeDirectory();
  const server = await start({ location: locate(directory) });
  const { adminToken } = server;
  const watching = watch(server, adminToken, {});
  const { resumeToken: before } = await watching.next();
  await backupStore({ location: locate(directory), to: join(directory, "backup.db") });
  await update(server, instanceName, { forceMfa: true });
  const { token: after } = await watching.change();
  await server.close({ graceMs: 0 });
  copyFileSync(join(directory, "backup.db"), join(directory, "restored.db"));

  const restored = { ...(await start({ location: locate(directory, "restored.db") })), adminToken };
  const mismatch = { code: Code.OutOfRange, rawMessage: expect.stringContaining("restore") };
  // There is no event yet at the position of the token.
  expect(await watch(restored, adminToken, { resumeToken: after }).end()).toMatchObject(mismatch);
  await update(restored, instanceName, { forceMfa: true });
  await update(restored, instanceName, { forceMfa: false });
  // Now there is another one.
  expect(await watch(restored, adminToken, { resumeToken: after }).end()).toMatchObject(mismatch);
  const resumed = watch(restored, adminToken, { resumeToken: before });
  expect((await resumed.change()).text).toContain("revisions/2");
});

it("takes a token from before the first event", async () => {
  const server = await start();
  const { instanceId, adminToken } = server;
  const resumeToken = Buffer.from(JSON.stringify([1, instanceId, 0, ""])).toString("base64url");
  const watching = watch(server, adminToken, { resumeToken });
  expect((await watching.change()).text).toMatch(new RegExp(`^${instanceName} .*setup ${instanceName}/revisions/1$`));
});

it("shows an update of several events as one change", async () => {
  const server = await start();
  const organization = await addOrganization(server, "Acme");
  const watching = watch(server, server.adminToken);
  await watching.next();
  const loginPolicy = {
    name: nameOf(organization),
    forceMfa: true,
    allowRegister: false,
    secondFactors: [SecondFactorType.OTP, SecondFactorType.OTP_SMS],
  };
  await clientOf(server).updateLoginPolicy({ loginPolicy }, bearer(server.adminToken));
  await update(server, instanceName, { forceMfa: true });
  expect((await watching.change()).text).toMatch(/^organizations\S+ allow_register,force_mfa\S* /);
  expect((await watching.change()).text).toContain(instanceName);
});

it(`sends every change exactly once, after repeats by token are removed, while nodes write and restart (${sampleNote})`, async () => {
  const random = createRandom(sampleSeed);
  const location = locate(makeDirectory());
  const first = await start({ location });
  const nodes = [first, await start({ location })];
  const organizations = [await addOrganization(first, "One"), await addOrganization(first, "Two")];
  const [one] = organizations as [string];
  const { adminToken: token } = first;
  const { resumeToken: began } = await watch(first, token).next();
  const pick = async () => nodes[Math.floor(random() * nodes.length)] as typeof first;
  const options = { pick, token, random, organizations, began };
  const restart = async (index: number) => {
    if (index % 10 !== 9) return;
    const at = index % 20 === 9 ? 0 : 1;
    await nodes[at]?.close({ graceMs: 0 });
    nodes[at] = await start({ location });
  };
  const [everything, named] = await Promise.all([
    watchRandomly(options, []),
    watchRandomly(options, [nameOf(one)]),
    writeRandomly(options, { count: 40, between: restart, isLast: true }),
  ]);
  const wanted = await wantedRevisions((nodes[0] as typeof first).store, one);
  expect({ everything, named }).toEqual(wanted);
  expect(wanted.everything.length).toBeGreaterThan(20);
});
