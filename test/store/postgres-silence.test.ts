import { type AddressInfo, createServer } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { type Command, organizationRef } from "../../src/store/store.ts";
import { CuttingProxy } from "../cluster/cutting-proxy.ts";
import { pause } from "../cluster/database-processes.ts";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { addOrganization, addUser, passToken } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";

const postgres = { statementTimeoutMs: 500, connectTimeoutMs: 500 };
/** How long the driver waits for an answer: see `query_timeout`. A call that waited for two in turn would take twice as long. */
const answerMs = postgres.statementTimeoutMs + 1000;

const server = new OwnServer();
beforeAll(async () => {
  await server.start();
  return () => server.stop();
});

async function open(location = server.url, limits = postgres) {
  const store = await openStore({ location, postgres: limits });
  onTestFinished(() => store.close());
  return store;
}

async function timeOf(work: Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work;
  return performance.now() - started;
}

describe("a server that says nothing", () => {
  it.each(["reads", "writes"])("keeps none of several %s waiting for longer than for one answer", async (kind) => {
    const store = await open();
    const read = () => store.read([organizationRef("a")]);
    const write = () => store.execute(addOrganization(kind));
    await read();
    await write();
    const position = (await read()).position;
    const times: Promise<number>[] = [];
    const attempt = (work: Promise<unknown>) => times.push(timeOf(expectStoreError(work, "unavailable")));
    {
      using _ = await pause(server.pid);
      // Those who come later wait behind those who came first.
      for (let round = 0; round < 6; round += 1) {
        attempt(kind === "reads" ? read() : write());
        for (let turns = 0; turns < 20; turns += 1) await turn();
      }
      expect(Math.max(...(await Promise.all(times)))).toBeLessThan(2 * answerMs);
    }
    await expect.poll(() => read().then((view) => view.position, String)).toBe(position);
  });
});

describe("an address where nobody says anything", () => {
  it("is waited for as the URL says, or as the option does", async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void silent.close());
    const location = `postgres://u@127.0.0.1:${(silent.address() as AddressInfo).port}/d?connect_timeout=1`;
    const byUrl = await timeOf(expectStoreError(openStore({ location }), "unavailable"));
    expect(byUrl).toBeGreaterThan(900);
    // By default it would be 5 s.
    expect(byUrl).toBeLessThan(4000);
    const short = { connectTimeoutMs: 100 };
    expect(await timeOf(expectStoreError(openStore({ location, postgres: short }), "unavailable"))).toBeLessThan(900);
  });
});

describe("a server that says nothing from the middle of a decision on", () => {
  it("keeps those who wait behind it no longer than for that answer", async () => {
    const store = await open();
    await store.execute(addUser("holder"));
    const { rows } = await query(
      server.url,
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'portcullis' AND pid <> pg_backend_pid()",
    );
    const pids = [server.pid, ...rows.map(({ pid }) => Number(pid))];
    const goOn = () => {
      for (const pid of pids.splice(0)) process.kill(pid, "SIGCONT");
    };
    onTestFinished(goOn);
    const command = passToken({ to: "holder", tokenId: "t" });
    const stopped = Promise.withResolvers<void>();
    const deciding: Command<void> = {
      ...command,
      decide(view) {
        for (const pid of pids) process.kill(pid, "SIGSTOP");
        stopped.resolve();
        // Who holds the token's key has to be asked for after this.
        return command.decide(view);
      },
    };
    const failing = timeOf(expectStoreError(store.execute(deciding), "unavailable"));
    await stopped.promise;
    const behind = timeOf(expectStoreError(store.execute(addOrganization("behind")), "unavailable"));
    expect(await failing).toBeLessThan(2 * answerMs);
    expect(await behind).toBeLessThan(2 * answerMs);
    goOn();
    await expect.poll(() => store.execute(addOrganization("back")).then(({ value }) => value, String)).toBe("back");
  });
});

describe("a commit of which nobody can say what became of it", () => {
  it("is looked for no longer than said, and keeps nobody else waiting for that", async () => {
    const proxy = await CuttingProxy.start(server.url);
    const limits = { statementTimeoutMs: 2000, connectTimeoutMs: 2000 };
    const store = await open(proxy.url, limits);
    const isCut = proxy.cutNext("after COMMIT");
    let isLookedFor = true;
    const committing = timeOf(expectStoreError(store.execute(addOrganization("lost")), "outcome_unknown"));
    void committing.then(() => (isLookedFor = false));
    await isCut;
    await proxy[Symbol.asyncDispose]();
    for (let round = 0; round < 2; round += 1) {
      await expectStoreError(store.execute(addOrganization("behind")), "unavailable");
      expect(isLookedFor).toBe(true);
    }
    expect(await committing).toBeLessThan(2 * (limits.connectTimeoutMs + limits.statementTimeoutMs));
  });
});

describe("a connection that another showed to be of no use", () => {
  it("is not waited for by the writer", async () => {
    const limits = { statementTimeoutMs: 1000, connectTimeoutMs: 100 };
    const store = await open(server.url, limits);
    await store.execute(addOrganization("first"));
    const read = () => store.read([organizationRef("first")]);
    {
      using _ = await pause(server.pid);
      await expectStoreError(read(), "unavailable");
      // Not for an answer over the old connection, only for a new one.
      const time = await timeOf(expectStoreError(store.execute(addOrganization("second")), "unavailable"));
      expect(time).toBeLessThan(limits.statementTimeoutMs);
    }
    await expect.poll(() => store.execute(addOrganization("third")).then(({ value }) => value, String)).toBe("third");
  });
});
