import { cpSync, existsSync, mkdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { schemaVersion } from "../../src/store/sqlite/migrations.ts";
import { isWhole, sample, sampleNote } from "../fixtures/sample.ts";
import { addCounter } from "../store/fixtures/commands.ts";
import { makeOlderFile } from "../store/fixtures/older-store.ts";
import { Api, newFactors } from "./api.ts";
import { databasePath, readEvents, verifyStore, versionOf } from "./database.ts";
import {
  complaintsIn,
  type Ended,
  runCommand,
  runJson,
  ServerProcess,
  startServer,
  TemporaryDirectory,
  until,
} from "./portcullis.ts";
import { createRandom } from "./random.ts";
import { SickDisk } from "./sick-disk.ts";

// What a disk that fails, or loses power, leaves of a store: all that was acknowledged, and nothing that was refused.

const logFile = "*-wal";
const rounds = 12;
const [factor, otherFactor] = newFactors;
const unavailable = { status: 503, body: { code: 14 } };
const unknown = { status: 500, body: { code: 2, message: expect.stringContaining("is unknown") } };

const readinessOf = async ({ url }: ServerProcess): Promise<number> => (await fetch(`${url}/debug/ready`)).status;

async function expectSound(data: string): Promise<void> {
  expect((await verifyStore(data)).problems).toEqual([]);
}

describe.concurrent("a commit whose sync fails", () => {
  /** A server on a disk of its own, with a policy of one factor. */
  async function serve(context: TestContext, directory: TemporaryDirectory) {
    const disk = SickDisk.create(context, directory);
    const data = directory.join("data");
    const server = await startServer({ data, env: disk.env });
    const api = new Api(server.url, server.adminToken);
    expect((await api.addPolicy()).status).toBe(200);
    expect((await api.addFactor(otherFactor)).status).toBe(200);
    return { disk, data, server, api };
  }

  it.for(["SIGTERM", "SIGKILL"] as const)(
    "once, did not happen, also after %s and another start",
    async (signal, context) => {
      using directory = new TemporaryDirectory();
      const { disk, data, server, api } = await serve(context, directory);
      await using _ = server;
      const before = readEvents(data);
      disk.fail({ of: logFile, to: 1 });
      expect(await api.addFactor(factor)).toMatchObject(unavailable);
      expect(await api.listFactors()).toEqual([otherFactor]);
      server.kill(signal);
      await server.endedWithin(30_000);
      await using again = await startServer({ data });
      expect(await new Api(again.url, again.adminToken).listFactors()).toEqual([otherFactor]);
      expect(readEvents(data)).toEqual(before);
      await expectSound(data);
    },
  );

  it("each time, is answered as unknown, and those after it as refused, until the disk recovers", async (context) => {
    using directory = new TemporaryDirectory();
    const { disk, data, server, api } = await serve(context, directory);
    await using _ = server;
    disk.fail({ of: logFile });
    expect(await api.addFactor(factor)).toMatchObject(unknown);
    for (let write = 0; write < 3; write += 1) expect(await api.removeFactor(otherFactor)).toMatchObject(unavailable);
    expect(await api.listFactors()).toEqual([otherFactor]);
    expect(await readinessOf(server)).toBe(503);
    disk.heal();
    await until(
      () => readinessOf(server),
      (status) => status === 200,
    );
    // Whoever reads now can rely on it.
    expect(await api.listFactors()).toEqual([otherFactor]);
    server.kill("SIGKILL");
    await server.ended;
    await using again = await startServer({ data });
    const after = new Api(again.url, again.adminToken);
    expect(await after.listFactors()).toEqual([otherFactor]);
    expect((await after.addFactor(factor)).status).toBe(200);
    await expectSound(data);
  });

  it("each time, may have happened where the server ends before the disk recovers", async (context) => {
    using directory = new TemporaryDirectory();
    const { disk, data, server, api } = await serve(context, directory);
    await using _ = server;
    disk.fail({ of: logFile });
    expect(await api.addFactor(factor)).toMatchObject(unknown);
    expect(await api.removeFactor(otherFactor)).toMatchObject(unavailable);
    server.kill("SIGKILL");
    await server.ended;
    disk.heal();
    await using again = await startServer({ data });
    expect([[otherFactor], [otherFactor, factor]]).toContainEqual(
      await new Api(again.url, again.adminToken).listFactors(),
    );
    await expectSound(data);
  });
});

describe.concurrent("a command whose outcome is unknown", () => {
  it("has no effect once another process, such as a server, has written", async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const data = directory.join("data");
    await using server = await startServer({ data });
    const api = new Api(server.url, server.adminToken);
    expect((await api.addPolicy()).status).toBe(200);
    disk.fail({ of: logFile });
    const added = await runCommand(["org", "add", "Acme", "--data", data], { env: disk.env });
    expect(added).toMatchObject({ exitCode: 1, stdout: "", stderr: expect.stringContaining("is unknown") });
    expect((await api.addFactor(factor)).status).toBe(200);
    const before = readEvents(data);
    server.kill("SIGKILL");
    await server.ended;
    expect(readEvents(data)).toEqual(before);
    expect(before.at(-1)?.type).toBe("SecondFactorAdded");
    await expectSound(data);
  });
});

describe.concurrent("a first start whose n-th sync fails", () => {
  it("works, or says why it does not, and the next one works", async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const step = isWhole ? 1 : 3;
    let failures = 0;
    for (let n = 1; ; n += step) {
      const data = directory.join(`data-${n}`);
      disk.fail({ of: `${data}*`, from: n, to: n });
      await using first = new ServerProcess({ data, env: disk.env });
      const serves = await first.ready().then(
        () => true,
        () => false,
      );
      const { attempts } = disk;
      disk.heal();
      if (serves) first.kill("SIGKILL");
      else {
        failures += 1;
        const ended = await first.endedWithin(10_000);
        expect(ended, `sync ${n}`).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
        // Perhaps after lines of the log.
        expect(ended.stderr, `sync ${n}`).toMatch(/(^|\n)portcullis: [^\n]+\n$/);
      }
      await first.ended;
      await using next = await startServer({ data });
      const api = new Api(next.url, next.adminToken);
      expect((await api.addFactor(factor)).status, `sync ${n}`).toBe(200);
      next.kill("SIGKILL");
      await next.ended;
      await expectSound(data);
      if (attempts < n) break;
    }
    expect(failures * step).toBeGreaterThan(4);
  });
});

describe("checkpoints that fail", () => {
  it("are counted and logged once, and end readiness beyond a length of the log, until they succeed", async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const data = directory.join("data");
    await using server = await startServer({ data, env: disk.env });
    const api = new Api(server.url, server.adminToken);
    expect((await api.addPolicy()).status).toBe(200);
    const log = `${databasePath(data)}-wal`;
    const mebibyte = 2 ** 20;
    const metric = async (name: string): Promise<number> => {
      const text = await (await fetch(`${server.url}/debug/metrics`)).text();
      return Number(new RegExp(`^portcullis_store_${name} (.*)$`, "m").exec(text)?.[1]);
    };
    const failures = () => metric("checkpoint_failures_total");
    const writeUntil = async <T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<void> => {
      await until(async () => {
        expect((await api.addFactor(factor)).status).toBe(200);
        expect((await api.removeFactor(factor)).status).toBe(200);
        return ask();
      }, isWanted);
    };
    const complaints = () => complaintsIn(server.stderr).map((line) => (JSON.parse(line) as { msg: string }).msg);
    const fail = "checkpoints of the store fail: its write-ahead log grows";
    const succeed = "checkpoints of the store succeed again";
    const [notReady, ready] = [/: the server is not ready$/, /: the server is ready$/].map((line) =>
      expect.stringMatching(line),
    );

    // As if more than what SQLite checkpoints at had been written. It does not read beyond the last commit.
    truncateSync(log, 8 * mebibyte);
    expect([await metric("log_bytes"), await failures()]).toEqual([8 * mebibyte, 0]);
    disk.fail({ of: "*/portcullis.db" });
    await writeUntil(failures, (count) => count >= 2);
    expect(complaints()).toEqual([fail]);
    expect(await readinessOf(server)).toBe(200);

    truncateSync(log, 1025 * mebibyte);
    await until(
      () => readinessOf(server),
      (status) => status === 503,
    );
    expect((await api.addFactor(factor)).status).toBe(200);
    expect(complaints()).toEqual([fail, notReady]);

    // Nobody calls any more.
    disk.heal();
    await until(
      () => readinessOf(server),
      (status) => status === 200,
    );
    expect(complaints()).toEqual([fail, notReady, succeed, ready]);
    expect((await api.removeFactor(factor)).status).toBe(200);
    expect(await api.listFactors()).toEqual([]);
    await until(
      () => metric("log_bytes"),
      (bytes) => bytes <= 64 * mebibyte,
    );
    expect(await server.stop()).toMatchObject({ exitCode: 0 });
    await expectSound(data);
  });
});

describe.concurrent("a command whose n-th sync fails", () => {
  let directory: TemporaryDirectory;
  let sound: string;
  let older: string;
  let token: { readonly id: string };
  beforeAll(async () => {
    directory = new TemporaryDirectory();
    sound = directory.join("sound");
    await using server = await startServer({ data: sound });
    await server.stop();
    older = directory.join("older");
    await makeOlderFile(databasePath(older), schemaVersion - 1, (store) => store.execute(addCounter("a")));
    token = await runJson(sound, "token", "create", "--user", "admin");
    expect(await runCommand(["store", "export", directory.join("export"), "--data", sound])).toMatchObject({
      exitCode: 0,
    });
  });
  afterAll(() => directory[Symbol.dispose]());

  interface Case {
    readonly command: string;
    /** Makes the directory that it runs on. Default: with a copy of the sound store. */
    prepare?(data: string): void;
    args(data: string): readonly string[];
    /** Whether the command has had its effect. */
    isDone(data: string): boolean;
    /** How many syncs there are at least, or this test looked at nothing. */
    readonly syncs: number;
  }
  const copySound = (data: string): void => cpSync(sound, data, { recursive: true });
  const copyOf = (data: string): string => join(data, "copy");
  const cases: readonly Case[] = [
    {
      command: "token revoke",
      args: () => ["token", "revoke", token.id],
      isDone: (data) => readEvents(data).some(({ type }) => type === "TokenRevoked"),
      syncs: 4,
    },
    {
      command: "store import",
      prepare() {},
      args: () => ["store", "import", directory.join("export")],
      isDone: (data) => existsSync(databasePath(data)) && readEvents(data).length > 0,
      syncs: 6,
    },
    {
      command: "store migrate",
      prepare: (data) => cpSync(older, data, { recursive: true }),
      args: () => ["store", "migrate"],
      isDone: (data) => versionOf(data) === schemaVersion,
      syncs: 4,
    },
    {
      command: "store backup",
      prepare(data) {
        copySound(data);
        mkdirSync(copyOf(data));
      },
      args: (data) => ["store", "backup", databasePath(copyOf(data))],
      isDone: (data) => existsSync(databasePath(copyOf(data))),
      syncs: 3,
    },
  ];

  const faults = cases.flatMap((each) => (["only", "and all after it"] as const).map((which) => ({ ...each, which })));
  it.for(sample(faults, { each: 2 }))(
    `says the truth: $command, that sync $which (${sampleNote})`,
    async ({ command, args, prepare = copySound, isDone, syncs, which }, context) => {
      using own = new TemporaryDirectory();
      const disk = SickDisk.create(context, own);
      for (let n = 1; ; n += 1) {
        const data = own.join(`data-${n}`);
        prepare(data);
        disk.fail({ of: `${data}*`, from: n, ...(which === "only" && { to: n }) });
        const run = () => runCommand([...args(data), "--data", data], { env: disk.env });
        const ended = await run();
        const { attempts } = disk;
        disk.heal();
        const done = isDone(data);
        expectTruth(ended, done, `sync ${n}`);
        for (const held of [data, copyOf(data)]) if (existsSync(databasePath(held))) await expectSound(held);
        if (!done) expect(await run(), `sync ${n}, again`).toMatchObject({ exitCode: 0, stderr: "" });
        if (attempts >= n) continue;
        expect(n, command).toBeGreaterThan(syncs);
        break;
      }
    },
  );

  function expectTruth({ exitCode, stderr, ...ended }: Ended, isDone: boolean, what: string): void {
    if (exitCode === 0) {
      expect({ stderr, isDone }, what).toEqual({ stderr: "", isDone: true });
      return;
    }
    expect({ exitCode, ...ended }, what).toEqual({ exitCode: 1, signal: null, stdout: "" });
    expect(stderr, what).toMatch(/^portcullis: [^\n]+\n$/);
    if (!stderr.includes("is unknown")) expect(isDone, `${what}: ${stderr}`).toBe(false);
  }
});

describe("a loss of power", () => {
  it("loses nothing that was acknowledged, and brings back nothing that was refused", async (context) => {
    const random = createRandom(17);
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    let data = directory.join("data");
    {
      await using server = await startServer({ data });
      expect((await new Api(server.url, server.adminToken).addPolicy()).status).toBe(200);
    }
    /** What may be there: both, of a factor whose last change got no answer, or is of unknown outcome. */
    const maybe = new Map<string, readonly boolean[]>(newFactors.map((name) => [name, [false]]));
    let acknowledged = 0;
    let refused = 0;
    for (let round = 1; round <= rounds; round += 1) {
      await using server = await startServer({ data, env: { ...disk.env, ...disk.follow(data) } });
      const api = new Api(server.url, server.adminToken);
      const answersBefore = 1 + Math.floor(random() * 60);
      // Some rounds have one failure of the log, some all of a time, some none.
      const from = 1 + Math.floor(random() * 30);
      disk.fail({ of: random() < 0.8 ? logFile : "*.db", from, to: from + Math.floor(random() * 3) });
      let answers = 0;
      const toggle = async (name: string): Promise<void> => {
        for (;;) {
          const isThere = (await api.listFactors()).includes(name);
          const before = maybe.get(name) ?? [];
          maybe.set(name, [true, false]);
          const answer = await (isThere ? api.removeFactor(name) : api.addFactor(name));
          answers += 1;
          if (answer.status === 200) maybe.set(name, [!isThere]);
          else if (answer.status === 503) maybe.set(name, before);
          else expect(answer).toMatchObject(unknown);
          if (answer.status === 200) acknowledged += 1;
          else refused += 1;
          if (answers >= answersBefore) server.kill("SIGKILL");
        }
      };
      const ends = await Promise.allSettled(newFactors.map(toggle));
      for (const { reason } of ends as PromiseRejectedResult[])
        expect(String(reason)).toMatch(/fetch failed|terminated/);
      await server.ended;
      disk.heal();
      data = disk.losePower(data, `round-${round}`);
      await expectSound(data);
      await using again = await startServer({ data });
      const there = await new Api(again.url, again.adminToken).listFactors();
      for (const [name, possible] of maybe) {
        expect(possible, `${name} in round ${round}`).toContain(there.includes(name));
        maybe.set(name, [there.includes(name)]);
      }
      await again.stop();
    }
    expect(acknowledged).toBeGreaterThan(rounds * 5);
    expect(refused).toBeGreaterThan(0);
  });
});
