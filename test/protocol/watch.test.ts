import { setImmediate as turn } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { describe, expect, it, onTestFinished } from "vitest";
import type { TestServer } from "../fixtures/server.ts";
import {
  addOrganization,
  bearer,
  clientOf,
  instanceName,
  nameOf,
  start,
  transports,
  update,
  watch,
} from "./watching.ts";

describe.each(transports)("WatchLoginPolicies over $protocol", ({ connect }) => {
  it("begins with a checkpoint, and sends each change", async () => {
    const server = await start();
    const organization = await addOrganization(server, "Acme");
    const watching = watch(server, server.adminToken, {}, connect);
    expect((await watching.next()).event.case).toBe("checkpoint");
    await update(server, instanceName, { forceMfa: true });
    expect(await watching.change()).toMatchObject({
      text: expect.stringMatching(/^instance\/loginPolicy force_mfa \d+ instance\/loginPolicy\/revisions\/2$/),
    });
    await update(server, nameOf(organization), { forceMfa: true });
    expect((await watching.change()).text).toContain(`${nameOf(organization)}  `);
  });

  it("sends no change after the token was revoked, and ends with the code that a call would get", async () => {
    const server = await start();
    const token = await server.createCaller("IAM_OWNER_VIEWER");
    const watching = watch(server, token, {}, connect);
    await watching.next();
    await server.directory.removeUser("caller 1");
    await update(server, instanceName, { forceMfa: true });
    expect(await watching.end()).toMatchObject({ code: Code.Unauthenticated });
  });

  it("ends with UNAVAILABLE when the server closes", async () => {
    const server = await start();
    const watching = watch(server, server.adminToken, {}, connect);
    await watching.next();
    const closed = server.close({ graceMs: 5_000 });
    expect(await watching.end()).toMatchObject({ code: Code.Unavailable });
    await closed;
  });
});

describe("WatchLoginPolicies", () => {
  it("shows a change of the instance as that of each watched organization that inherits, and resumes between them", async () => {
    const server = await start();
    const [one, two, other] = [
      await addOrganization(server, "One"),
      await addOrganization(server, "Two"),
      await addOrganization(server, "Other"),
    ];
    await update(server, nameOf(other), { forceMfa: true });
    const names = [two, other, one].map(nameOf);
    const caller = await server.createCaller("IAM_OWNER_VIEWER");
    const watching = watch(server, caller, { names });
    await watching.next();
    await update(server, instanceName, { allowRegister: false });
    const first = await watching.change();
    const second = await watching.change();
    expect(first.text).toContain(`${nameOf(one)} allow_register`);
    expect(second.text).toContain(`${nameOf(two)} allow_register`);
    const resumed = watch(server, caller, { names, resumeToken: first.token });
    expect((await resumed.next()).event.case).toBe("checkpoint");
    expect(await resumed.change()).toEqual(second);
    await update(server, nameOf(other), { forceMfa: false });
    expect((await resumed.change()).text).toContain(`${nameOf(other)} force_mfa`);
  });

  it("hides who changed the instance from those who may not read its policy", async () => {
    const server = await start();
    const organizationId = await addOrganization(server, "Acme");
    const caller = await server.createCaller("ORG_OWNER", { organizationId });
    const byName = watch(server, caller, { names: [nameOf(organizationId)] });
    await byName.next();
    await update(server, instanceName, { forceMfa: true });
    const revision = "force_mfa instance instance/loginPolicy/revisions/2";
    expect((await byName.change()).text).toBe(`${nameOf(organizationId)} ${revision}`);
  });

  it("shows nothing of the instance's own to who may not read it, whatever the token", async () => {
    const server = await start();
    const organizationId = await addOrganization(server, "Acme");
    await update(server, instanceName, { forceMfa: true });
    const caller = await server.createCaller("ORG_OWNER", { organizationId });
    // Of the beginning, which anybody can write.
    const resumeToken = Buffer.from(JSON.stringify([1, server.instanceId, 0, ""])).toString("base64url");
    const watching = watch(server, caller, { resumeToken });
    await watching.next();
    await update(server, nameOf(organizationId), { allowRegister: false });
    expect((await watching.change()).text).toContain(nameOf(organizationId));
    const reader = watch(server, server.adminToken, { resumeToken });
    await reader.next();
    expect((await reader.change()).text).toContain(instanceName);
  });

  it("shows of everything only what the caller may read", async () => {
    const server = await start();
    const [mine, theirs] = [await addOrganization(server, "Mine"), await addOrganization(server, "Theirs")];
    const watching = watch(server, await server.createCaller("ORG_OWNER", { organizationId: mine }));
    await watching.next();
    await update(server, nameOf(theirs), { forceMfa: true });
    await update(server, nameOf(mine), { forceMfa: true });
    expect((await watching.change()).text).toContain(nameOf(mine));
  });

  it("sends the policies before their changes, in pages, and no snapshot with a token", async () => {
    const server = await start();
    const ids: string[] = [];
    for (let number = 0; number < 120; number += 1) ids.push(await addOrganization(server, `Org ${number}`));
    await update(server, nameOf(ids[3] as string), { forceMfa: true });
    const watching = watch(server, server.adminToken, { withSnapshot: true });
    const sizes: number[] = [];
    const own: string[] = [];
    let resumeToken = "";
    for (let done = false; !done; ) {
      const answer = await watching.next();
      if (answer.event.case !== "snapshot") throw new Error(`${answer.event.case} in a snapshot`);
      ({ done } = answer.event.value);
      ({ resumeToken } = answer);
      expect(resumeToken === "").toBe(!done);
      sizes.push(answer.event.value.loginPolicies.length);
      own.push(...answer.event.value.loginPolicies.filter(({ forceMfa }) => forceMfa).map(({ name }) => name));
    }
    // With the instance, and the organization of the set-up.
    expect(sizes).toEqual([100, 22]);
    expect(own).toEqual([nameOf(ids[3] as string)]);
    await update(server, nameOf(ids[4] as string), { forceMfa: true });
    const change = await watching.change();
    const resumed = watch(server, server.adminToken, { withSnapshot: true, resumeToken });
    expect((await resumed.next()).event.case).toBe("checkpoint");
    expect(await resumed.change()).toEqual(change);
  });

  it("ends when a watched organization is removed, as a call would", async () => {
    const server = await start();
    const organizationId = await addOrganization(server, "Acme");
    const names = [nameOf(organizationId)];
    const [owner, viewer] = [
      await server.createCaller("ORG_OWNER", { organizationId: server.defaultOrganization }),
      await server.createCaller("IAM_OWNER_VIEWER"),
    ];
    expect(await watch(server, owner, { names }).end()).toMatchObject({ code: Code.PermissionDenied });
    const watching = watch(server, viewer, { names });
    await watching.next();
    await server.directory.removeOrganization(organizationId);
    const wanted = await clientOf(server)
      .getLoginPolicy({ name: names[0] as string }, bearer(viewer))
      .catch((error: unknown) => error);
    expect(await watching.end()).toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: (wanted as Error & { rawMessage: string }).rawMessage,
    });
  });

  it("ends within 5 s when the role is revoked, and when the token expires", async () => {
    let now = Date.now();
    const server = await start({ clock: () => now });
    const organizationId = await addOrganization(server, "Acme");
    const caller = await server.createCaller("ORG_OWNER", { organizationId });
    const passing = await server.createCaller("IAM_OWNER_VIEWER", { expiresAt: now + 60_000 });
    const [all, named, expiring] = [
      watch(server, caller),
      watch(server, caller, { names: [nameOf(organizationId)] }),
      watch(server, passing),
    ];
    for (const watching of [all, named, expiring]) await watching.next();
    await server.directory.revokeRole({ name: "caller 1", role: "ORG_OWNER", organizationId });
    now += 60_000;
    const since = performance.now();
    expect(await all.end()).toMatchObject({ code: Code.PermissionDenied });
    expect(await named.end()).toMatchObject({ code: Code.PermissionDenied });
    expect(await expiring.end()).toMatchObject({ code: Code.Unauthenticated });
    expect(performance.now() - since).toBeLessThan(5_000);
  });

  it("refuses names that are none, more than 100, and tokens that are none or of another store", async () => {
    const [server, other] = [await start(), await start()];
    const { resumeToken } = await watch(other, other.adminToken).next();
    const refused = (request: Parameters<typeof watch>[2]) => watch(server, server.adminToken, request).end();
    expect(await refused({ names: ["instance/policy"] })).toMatchObject({ code: Code.InvalidArgument });
    expect(await refused({ names: [`${instanceName}/revisions/1`] })).toMatchObject({ code: Code.InvalidArgument });
    expect(await refused({ names: Array(101).fill(instanceName) })).toMatchObject({ code: Code.InvalidArgument });
    expect(await refused({ resumeToken: "nonsense" })).toMatchObject({ code: Code.InvalidArgument });
    expect(await refused({ resumeToken })).toMatchObject({ code: Code.OutOfRange });
  });

  it("lets one caller have so many open, and gives the place of one that ended to another", async () => {
    const server = await start({ watchesPerCaller: 2 });
    const watches = [watch(server, server.adminToken), watch(server, server.adminToken)];
    for (const watching of watches) await watching.next();
    expect(await watch(server, server.adminToken).end()).toMatchObject({ code: Code.ResourceExhausted });
    expect((await watch(server, await server.createCaller("IAM_OWNER")).next()).event.case).toBe("checkpoint");
    watches[0]?.leave();
    for (;;) {
      const answer = await watch(server, server.adminToken)
        .next()
        .catch((error: { code: Code }) => error);
      if ("event" in answer) break;
      expect(answer.code).toBe(Code.ResourceExhausted);
      await turn();
    }
  });
});

/** A watch over REST, read as it comes. */
async function readRest(
  { url }: Pick<TestServer, "url">,
  token: string,
  {
    accept,
    path = "",
    headers = {},
    body,
  }: { accept: string; path?: string; headers?: Record<string, string>; body?: string },
) {
  const controller = new AbortController();
  onTestFinished(() => controller.abort());
  const response = await fetch(`${url}/portcullis/v1/loginPolicies:watch${path}`, {
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", accept, ...headers },
    signal: controller.signal,
    ...(body !== undefined && { method: "POST", body }),
  });
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  return {
    response,
    /** Up to and with a separator. */
    async next(separator: string): Promise<string> {
      while (!text.includes(separator)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`it ended after ${text}`);
        text += value;
      }
      const end = text.indexOf(separator) + separator.length;
      const piece = text.slice(0, end);
      text = text.slice(end);
      return piece;
    },
  };
}

describe("WatchLoginPolicies over REST", () => {
  it("sends events with ids, and resumes after Last-Event-ID, which wins over the parameter", async () => {
    const server = await start();
    const sse = { accept: "text/event-stream" };
    const watching = await readRest(server, server.adminToken, sse);
    expect(watching.response.headers.get("content-type")).toBe("text/event-stream");
    const first = await watching.next("\n\n");
    expect(first).toMatch(/^id: (\S+)\ndata: \{"resumeToken":"\1","checkpoint":\{\}\}\n\n$/);
    await update(server, instanceName, { forceMfa: true });
    const second = await watching.next("\n\n");
    expect(JSON.parse(second.split("data: ")[1] as string)).toMatchObject({
      change: {
        loginPolicy: { name: instanceName, forceMfa: true },
        changes: [{ path: "force_mfa", before: false, after: true }],
      },
    });
    await update(server, instanceName, { forceMfa: false });
    const third = await watching.next("\n\n");
    const idOf = (event: string) => (/^id: (\S+)$/m.exec(event) as RegExpExecArray)[1] as string;
    const resumed = await readRest(server, server.adminToken, {
      ...sse,
      path: `?resumeToken=${idOf(first)}`,
      headers: { "last-event-id": idOf(second) },
    });
    expect(idOf(await resumed.next("\n\n"))).toBe(idOf(second));
    expect(await resumed.next("\n\n")).toBe(third);
  });

  it("sends lines, also to a POST", async () => {
    const server = await start();
    const body = JSON.stringify({ names: [instanceName], withSnapshot: true });
    const watching = await readRest(server, server.adminToken, { accept: "application/x-ndjson", body });
    const snapshot = JSON.parse(await watching.next("\n"));
    expect(snapshot).toMatchObject({ snapshot: { loginPolicies: [{ name: instanceName }], done: true } });
    await update(server, instanceName, { forceMfa: true });
    const change = JSON.parse(await watching.next("\n"));
    expect(change).toMatchObject({ change: { loginPolicy: { forceMfa: true } } });
    expect(change.resumeToken).not.toBe(snapshot.resumeToken);
  });

  it("answers with a status where it cannot begin", async () => {
    const server = await start();
    const refused = async (path: string, token: string) => {
      const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
      const response = await fetch(`${server.url}/portcullis/v1/loginPolicies:watch${path}`, { headers });
      return { status: response.status, body: (await response.json()) as object };
    };
    expect(await refused("?resumeToken=nonsense", server.adminToken)).toMatchObject({
      status: 400,
      body: { details: [{ reason: "RESUME_TOKEN_INVALID" }, {}] },
    });
    expect(await refused("", "nonsense")).toMatchObject({ status: 401 });
  });
});
