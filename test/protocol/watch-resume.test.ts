import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { expect, it, onTestFinished } from "vitest";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { backupStore } from "../../src/store/open.ts";
import { sampleNote, sampleSeed } from "../fixtures/sample.ts";
import { createRandom } from "../process/random.ts";
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
  const { adminToken } = first;
  const nodes = [first, await start({ location })];
  const one = await addOrganization(first, "One");
  const all = [instanceName, nameOf(one), nameOf(await addOrganization(first, "Two"))];
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const { resumeToken: began } = await watch(first, adminToken).next();
  const last = "https://example.com/last";

  async function writeSome(): Promise<void> {
    for (let count = 0; count < 40; count += 1) {
      const name = pick(all);
      const call = clientOf(pick(nodes));
      const values = { forceMfa: random() < 0.5, allowRegister: count % 2 === 0 };
      const change =
        random() < 0.2 && name !== instanceName
          ? call.resetLoginPolicy({ name }, bearer(adminToken))
          : call.updateLoginPolicy({ loginPolicy: { name, ...values } }, bearer(adminToken));
      // A server that closes may cut it off.
      await change.catch(() => {});
      if (count % 10 !== 9) continue;
      const at = count % 20 === 9 ? 0 : 1;
      await nodes[at]?.close({ graceMs: 0 });
      nodes[at] = await start({ location });
    }
    const loginPolicy = { name: nameOf(one), defaultRedirectUri: last };
    await clientOf(pick(nodes)).updateLoginPolicy({ loginPolicy }, bearer(adminToken));
  }

  /** Until the last change, by watches that end now and then. */
  async function watchAll(names: string[]): Promise<string[]> {
    const tokens = [began];
    const found = new Map<string, string>();
    for (;;) {
      const resumeToken = tokens[Math.max(0, tokens.length - 1 - Math.floor(random() * 3))] as string;
      const watching = watch(pick(nodes), adminToken, { names, resumeToken });
      try {
        for (let left = Math.floor(random() * 10); left >= 0; left -= 1) {
          const answer = await watching.next();
          if (answer.event.case !== "change") continue;
          tokens.push(answer.resumeToken);
          const { revision, loginPolicy } = answer.event.value;
          found.set(answer.resumeToken, revision);
          if (loginPolicy?.defaultRedirectUri === last) return [...found.values()];
        }
        watching.leave();
      } catch {
        // Its server was closed.
        await turn();
      }
    }
  }

  const [everything, named] = await Promise.all([watchAll([]), watchAll([nameOf(one)]), writeSome()]);
  const wanted = { everything: [] as string[], named: [] as string[] };
  let isOwn = false;
  const { events } = await (nodes[0] as typeof first).store.changes({ after: 0, limit: 1000 });
  for (const [index, { ref, event, append, sequence }] of events.entries()) {
    if (ref.type === "user" || event.type.startsWith("Organization") || event.type === "InstanceCreated") continue;
    if (ref.id === one) isOwn = event.type !== "LoginPolicyRemoved";
    if (events[index + 1]?.append === append) continue;
    const revision = `${ref.type === "instance" ? instanceName : nameOf(ref.id)}/revisions/${sequence}`;
    wanted.everything.push(revision);
    if (ref.id === one || (ref.type === "instance" && !isOwn)) wanted.named.push(revision);
  }
  expect({ everything, named }).toEqual(wanted);
  expect(wanted.everything.length).toBeGreaterThan(20);
});
