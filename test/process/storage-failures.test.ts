import { closeSync, cpSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { type Answer, Api, newFactors } from "./api.ts";
import { databasePath, fillStore, readEvents } from "./database.ts";
import { SmallDisk, skipBecause, whyNoDisk } from "./machine.ts";
import { type Ended, runCommand, ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

const internals = /sqlite|database|malformed|disk image|SELECT|INSERT|portcullis\.db|\/tmp|\.ts\b|\n/i;

/** Throws unless this is a failure that tells the caller nothing of the server's inside. */
function expectFailure({ status, body }: Answer, wanted: number): void {
  expect(status, JSON.stringify(body)).toBe(wanted);
  expect(body["message"]).toMatch(/^\S.{10,}$/);
  expect(JSON.stringify(body)).not.toMatch(internals);
}

describe("a full disk", () => {
  it("refuses writes with 503, is not ready, and answers reads, until there is room again", async (context) => {
    using directory = new TemporaryDirectory();
    mkdirSync(directory.join("disk"));
    using disk = SmallDisk.mount(directory.join("disk"), { sizeKb: 2048 });
    skipBecause(context, disk ? undefined : whyNoDisk);
    const data = directory.join("disk", "data");
    await using server = await startServer({ data });
    const api = new Api(server.url, server.adminToken);
    const there = new Set(await api.listFactors());
    let written = readEvents(data).length;
    const toggle = async (): Promise<Answer> => {
      const isThere = there.has("OTP_SMS");
      const answer = await (isThere ? api.removeFactor("OTP_SMS") : api.addFactor("OTP_SMS"));
      if (answer.status === 200) {
        if (isThere) there.delete("OTP_SMS");
        else there.add("OTP_SMS");
      }
      return answer;
    };
    const readiness = async (): Promise<number> => (await fetch(`${server.url}/debug/ready`)).status;
    expect((await api.addPolicy()).status).toBe(200);
    there.clear();
    written += 1;

    for (let round = 0; round < 2; round += 1) {
      const filler = directory.join("disk", "filler");
      fill(filler);
      // What the file already has room for may still succeed.
      let refused: Answer | undefined;
      for (let attempt = 0; attempt < 500 && refused === undefined; attempt += 1) {
        const answer = await toggle();
        if (answer.status === 200) written += 1;
        else refused = answer;
      }
      expectFailure(refused as Answer, 503);
      expect(refused?.body["code"]).toBe(14);
      expectFailure(await toggle(), 503);
      // For a smaller write than that there may still be room, and then it is ready until the next one fails.
      while ((await readiness()) !== 503) if ((await toggle()).status === 200) written += 1;
      for (let read = 0; read < 5; read += 1) expect(await api.listFactors()).toEqual([...there]);
      const command = await runCommand(["org", "add", "Acme", "--data", data]);
      expect(command).toMatchObject({ exitCode: 1, stdout: "" });
      expect(command.stderr).toMatch(/^portcullis: [^\n]*full[^\n]*\n$/);

      rmSync(filler);
      for (let write = 0; write < 5; write += 1) expect((await toggle()).status).toBe(200);
      written += 5;
      expect(await api.listFactors()).toEqual([...there]);
      expect(readEvents(data)).toHaveLength(written);
      expect(await runCommand(["store", "verify", "--data", data])).toMatchObject({ exitCode: 0 });
      await vi.waitUntil(async () => (await readiness()) === 200, { interval: 20, timeout: 60_000 });
    }
    expect(await server.stop()).toMatchObject({ exitCode: 0 });
    await using again = await startServer({ data });
    expect(await new Api(again.url, again.adminToken).listFactors()).toEqual([...there]);
  });
});

describe("a full disk for temporary files", () => {
  it("stops the verification of a large store in a sentence, and the store stays as it was", {
    timeout: 120_000,
  }, async (context) => {
    using directory = new TemporaryDirectory();
    mkdirSync(directory.join("disk"));
    using disk = SmallDisk.mount(directory.join("disk"), { sizeKb: 1024 });
    skipBecause(context, disk ? undefined : whyNoDisk);
    const data = directory.join("data");
    await fillStore(`sqlite:${databasePath(data)}`, 10_000);
    const env = { SQLITE_TMPDIR: directory.join("disk") };
    // A rebuild sorts in the same way, but with more memory, so that it takes a larger store to fill the disk.
    const { exitCode, stdout, stderr } = await runCommand(["store", "verify", "--data", data], { env });
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^portcullis: The store \S+ cannot be sorted: [^\n]+ Make room [^\n]+ SQLITE_TMPDIR\.[^\n]*\n$/,
    );
    expect(await runCommand(["store", "verify", "--data", data])).toMatchObject({
      exitCode: 0,
      stdout: "the store is sound: 20000 events, 10000 aggregates\n",
    });
  });
});

/** Makes a file of everything that is left on its disk. */
function fill(path: string): void {
  const descriptor = openSync(path, "w");
  try {
    for (const size of [65_536, 4096, 512, 1]) {
      const chunk = Buffer.alloc(size);
      try {
        for (;;) writeSync(descriptor, chunk);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}

describe("a damaged store", () => {
  const pageSize = 4096;
  let directory: TemporaryDirectory;
  let sound: string;
  let token: string;
  /** Which pages hold what: the root page of each table and index. */
  let pages: ReadonlyMap<string, number>;

  beforeAll(async () => {
    directory = new TemporaryDirectory();
    sound = directory.join("sound");
    await using server = await startServer({ data: sound });
    token = server.adminToken;
    const api = new Api(server.url, token);
    for (const factor of newFactors) expect((await api.addFactor(factor)).status).toBe(200);
    await server.stop();
    using db = new DatabaseSync(databasePath(sound), { readOnly: true });
    const rows = db.prepare("SELECT name, rootpage FROM sqlite_schema").all();
    pages = new Map(rows.map(({ name, rootpage }) => [String(name), Number(rootpage)]));
  });
  afterAll(() => directory[Symbol.dispose]());

  let copies = 0;
  /** A copy of the sound store, changed. */
  function damaged(change: (path: string) => void): string {
    copies += 1;
    const data = directory.join(`copy-${copies}`);
    cpSync(sound, data, { recursive: true });
    change(databasePath(data));
    return data;
  }
  const overwrite = (offset: number, bytes: Buffer) => (path: string) => {
    const content = readFileSync(path);
    bytes.copy(content, offset);
    writeFileSync(path, content);
  };
  /** Changes bytes inside the rows of a page; the text must be there. */
  const replaceText = (text: string, by: string) => (path: string) => {
    const content = readFileSync(path);
    const offset = content.indexOf(text);
    if (offset === -1 || text.length !== by.length) throw new Error(`${text} cannot be replaced`);
    overwrite(offset, Buffer.from(by))(path);
  };
  const verify = (data: string): Promise<Ended> => runCommand(["store", "verify", "--data", data]);

  function expectReport({ exitCode, signal, stdout, stderr }: Ended): void {
    expect({ exitCode, signal }).toEqual({ exitCode: 1, signal: null });
    expect(stdout + stderr).toMatch(/damaged|differ|broken|cannot follow|cannot be read/i);
    expect(stdout + stderr).not.toMatch(/^\s+at /m);
  }

  /** Starts on the store and calls; resolves to the worst status, or to 0 where it did not start, for a good reason. */
  async function callOn(data: string): Promise<number> {
    await using server = new ServerProcess({ data });
    const serves = await server.ready().then(
      () => true,
      () => false,
    );
    if (!serves) {
      const ended = await server.endedWithin(5000);
      expect(ended).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
      expect(ended.stderr).toMatch(/^portcullis: [^\n]*damaged[^\n]*\n$/);
      return 0;
    }
    const api = new Api(server.url, token);
    const answers = [await api.readPolicy(), await api.removeFactor("OTP_SMS"), await api.readInstance()];
    for (const answer of answers) if (answer.status >= 500) expectFailure(answer, 500);
    return Math.max(...answers.map(({ status }) => status));
  }

  const objects = ["events", "aggregates", "sqlite_autoindex_aggregates_1", "keys"];

  it.concurrent.each(objects)("with a broken page of %s is reported, by verify and to callers", async (name) => {
    const page = pages.get(name);
    if (page === undefined) throw new Error(`there is no ${name}`);
    // The page's header, without which nothing on it can be found.
    const data = damaged(overwrite((page - 1) * pageSize, Buffer.alloc(12, 0xff)));
    expectReport(await verify(data));
    expect([0, 500]).toContain(await callOn(data));
  });

  it.concurrent("with a broken first page is reported", async () => {
    const data = damaged(overwrite(100, Buffer.alloc(12, 0xff)));
    expectReport(await verify(data));
    expect(await callOn(data)).toBe(0);
  });

  it.concurrent("without its last pages is reported", async () => {
    const data = damaged((path) => writeFileSync(path, readFileSync(path).subarray(0, 2 * pageSize)));
    expectReport(await verify(data));
    expect([0, 500]).toContain(await callOn(data));
  });

  it.concurrent("with a changed event is reported by verify", async () => {
    const ended = await verify(damaged(replaceText('{"factor":"otp_sms"}', '{"factor":"otp_smz"}')));
    expectReport(ended);
    expect(ended.stderr).toMatch(/^portcullis: "store rebuild" makes [^\n]* only a backup restores damaged events\n$/);
  });

  it.concurrent("with an event that cannot be read is reported by verify, and not rebuilt", async () => {
    const data = damaged(replaceText('{"factor":"otp_sms"}', '{{{{{{{:"otp_sms"}'.padEnd(20, "{")));
    expectReport(await verify(data));
    const before = readFileSync(databasePath(data));
    const rebuilt = await runCommand(["store", "rebuild", "--data", data]);
    expect(rebuilt).toMatchObject({ exitCode: 1, stdout: "" });
    expect(rebuilt.stderr).toMatch(/^portcullis: [^\n]*nothing was rebuilt[^\n]*\n$/);
    expect(readFileSync(databasePath(data)).equals(before)).toBe(true);
  });

  it.concurrent("with kept state that differs from the events is reported by verify, and made good by rebuild", async () => {
    const data = damaged((path) => {
      using db = new DatabaseSync(path);
      db.exec("UPDATE aggregates SET state = replace(state, 'otp_sms', 'u2f') WHERE type = 'organization'");
      db.exec("DELETE FROM keys WHERE kind = 'token_digest'");
    });
    expectReport(await verify(data));
    expect(await callOn(data)).toBe(401);
    expect(await runCommand(["store", "rebuild", "--data", data])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await verify(data)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^the store is sound/) });
    await using server = await startServer({ data });
    expect(await new Api(server.url, token).listFactors()).toEqual(["OTP", "U2F", ...newFactors]);
  });

  it.concurrent("with kept state that cannot be read is reported to callers", async () => {
    const data = damaged((path) => {
      using db = new DatabaseSync(path);
      db.exec("UPDATE aggregates SET state = '{' WHERE type = 'organization'");
    });
    expectReport(await verify(data));
    expect(await callOn(data)).toBe(500);
  });

  it.concurrent("that lost an event is reported by verify", async () => {
    const data = damaged((path) => {
      using db = new DatabaseSync(path);
      db.exec("DELETE FROM events WHERE position = 7");
    });
    const report = await verify(data);
    expect(report).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("only a backup restores") });
    expect(report.stdout).not.toBe("");
  });
});
