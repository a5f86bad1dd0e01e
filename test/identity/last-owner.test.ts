// The instance is never left to nobody by accident: whichever command takes the last owner's last way in away.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it, onTestFinished } from "vitest";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";

const clock = { now: Date.parse("2026-01-01T00:00:00Z") };

async function start(options: Pick<TestServerOptions, "location"> = {}): Promise<TestServer> {
  const server = await startTestServer({ clock: () => clock.now, ...options });
  onTestFinished(() => server.close());
  return server;
}

const isLast = { code: "owner_last" };

const tokenIdsOf = async ({ credentials }: TestServer, name: string) =>
  (await credentials.listTokens()).filter(({ userName }) => userName === name).map(({ tokenId }) => tokenId);

describe("the last owner's last way in", () => {
  it("goes by no command without force", async () => {
    const server = await start();
    const { directory, credentials } = server;
    const [tokenId = ""] = await tokenIdsOf(server, "admin");
    await expect(directory.removeUser("admin")).rejects.toMatchObject(isLast);
    await expect(directory.revokeRole({ name: "admin", role: "IAM_OWNER" })).rejects.toMatchObject(isLast);
    await expect(credentials.revokeToken(tokenId)).rejects.toMatchObject(isLast);
    const { keyId } = await credentials.addKey({ userName: "admin", publicKey: "x" });
    await credentials.revokeToken(tokenId);
    await expect(credentials.removeKey(keyId)).rejects.toMatchObject(isLast);
    await credentials.removeKey(keyId, { force: true });
    await directory.removeUser("admin");
    expect(await directory.listUsers()).toEqual([]);
  });

  it("goes with force", async () => {
    const server = await start();
    await server.directory.revokeRole({ name: "admin", role: "IAM_OWNER" }, { force: true });
    const next = await start();
    const [tokenId = ""] = await tokenIdsOf(next, "admin");
    await next.credentials.revokeToken(tokenId, { force: true });
    await next.directory.removeUser("admin", { force: true });
  });

  it("is a token that has not ended", async () => {
    const server = await start();
    const { credentials } = server;
    await server.createCaller("IAM_OWNER", { expiresAt: clock.now + 1000 });
    const [kept = ""] = await tokenIdsOf(server, "admin");
    clock.now += 1000;
    await expect(credentials.revokeToken(kept)).rejects.toMatchObject(isLast);
    await server.createCaller("IAM_OWNER", { expiresAt: clock.now + 1000 });
    await credentials.revokeToken(kept);
  });

  it("is looked for only where an owner loses something, so what is damaged of one user holds up no other", async () => {
    const directoryOfStore = mkdtempSync(join(tmpdir(), "portcullis-owners-"));
    onTestFinished(() => rmSync(directoryOfStore, { recursive: true, force: true }));
    const path = join(directoryOfStore, "store.db");
    const server = await start({ location: `sqlite:${path}` });
    await server.createCaller("ORG_OWNER");
    await server.createCaller("ORG_OWNER");
    const [[leaked = ""], [damaged = ""]] = await Promise.all([
      tokenIdsOf(server, "caller 1"),
      tokenIdsOf(server, "caller 2"),
    ]);
    {
      using db = new DatabaseSync(path);
      db.exec("UPDATE aggregates SET state = replace(state, 'caller 2', 'caller 3') WHERE type = 'user'");
      // Otherwise the server goes on with what it has in memory.
      db.exec("UPDATE head SET rebuilds = rebuilds + 1");
    }
    await server.credentials.revokeToken(leaked);
    await expect(server.credentials.revokeToken(damaged)).rejects.toMatchObject({ code: "corrupt" });
  });

  it("stays where all owners are removed at once", async () => {
    const server = await start();
    const { directory } = server;
    for (let i = 0; i < 4; i++) await server.createCaller("IAM_OWNER");
    const names = (await directory.listUsers()).map(({ name }) => name);
    expect(names).toHaveLength(5);
    const ended = await Promise.allSettled(names.map((name) => directory.removeUser(name)));
    expect(ended.filter(({ status }) => status === "rejected")).toMatchObject([{ reason: isLast }]);
    expect(await directory.listUsers()).toHaveLength(1);
  });
});
