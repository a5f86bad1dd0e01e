import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, type TestContext } from "vitest";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { addCounter, addOrganization, countUp } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { cannotRun, makeDirectory, makePath, openAt } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";

describe("an acknowledged write", () => {
  /** How often a process that makes these writes syncs, as the kernel sees it. */
  async function countSyncs(context: TestContext, callers: number, writes: number): Promise<number> {
    if (spawnSync("strace", ["-V"]).status !== 0) cannotRun(context, "strace is not installed");
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("counter"));
    const log = join(makeDirectory(), "syncs");
    const script = runScript("writer-process.ts", [`sqlite:${path}`, "counter", String(callers), String(writes)], {
      command: ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", log],
    });
    script.go();
    await script.ended();
    expect(script.lines).toHaveLength(1 + callers * writes);
    return readFileSync(log, "utf8").match(/\bf(data)?sync\([^\n]* = 0$/gm)?.length ?? 0;
  }

  it("was synced to disk, each that had to wait for the one before it by a sync of its own", async (context) => {
    expect(await countSyncs(context, 1, 40)).toBeGreaterThanOrEqual(40);
  });

  it("shares its sync with others that waited at the same time", async (context) => {
    const syncs = await countSyncs(context, 64, 10);
    expect(syncs).toBeGreaterThanOrEqual(10);
    expect(syncs).toBeLessThan(640 / 8);
  });

  it("shares its commit with others that waited at the same time", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("counter"));
    const before = countCommits(path);
    await Promise.all(Array.from({ length: 500 }, () => store.execute(countUp("counter"))));
    const commits = countCommits(path) - before;
    expect(commits).toBeGreaterThanOrEqual(1);
    expect(commits).toBeLessThanOrEqual(4);
  });
});

/** Counts the commits in a write-ahead log: its frames that name the size of the database after them. */
function countCommits(path: string): number {
  const log = readFileSync(`${path}-wal`);
  const [headerSize, frameHeaderSize] = [32, 24];
  const pageSize = log.readUInt32BE(8);
  let commits = 0;
  for (let frame = headerSize; frame + frameHeaderSize <= log.length; frame += frameHeaderSize + pageSize) {
    // Frames with another salt are left over from before the log was last started over.
    const isCurrent = log.subarray(frame + 8, frame + 16).equals(log.subarray(16, 24));
    if (isCurrent && log.readUInt32BE(frame + 4) > 0) commits += 1;
  }
  return commits;
}

describe("a full disk", () => {
  /** Mounts a file system of one megabyte, in memory. */
  function mountSmall(context: TestContext): { readonly directory: string; readonly grow: () => void } {
    const directory = makeDirectory();
    const mount = (...args: string[]): boolean =>
      process.platform === "linux" && spawnSync("mount", [...args, directory]).status === 0;
    if (!mount("-t", "tmpfs", "-o", "size=1m", "portcullis-test")) {
      cannotRun(context, "only root on Linux can mount a small file system");
    }
    onTestFinished(() => {
      spawnSync("umount", ["-l", directory]);
    });
    return { directory, grow: () => expect(mount("-o", "remount,size=16m")).toBe(true) };
  }

  /** Writes until the store refuses, and returns what it said and how many were acknowledged. */
  async function fill(store: Store): Promise<{ readonly message: string; readonly acknowledged: number }> {
    for (let acknowledged = 0; ; acknowledged++) {
      const name = `${acknowledged} ${"n".repeat(20_000)}`;
      const refused = await store.execute(addOrganization(`o${acknowledged}`, name)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refused === undefined) continue;
      return { message: await expectStoreError(Promise.reject(refused), "unavailable"), acknowledged };
    }
  }

  it("makes writes unavailable and loses nothing, and they go on once there is room", async (context) => {
    const { directory, grow } = mountSmall(context);
    const store = await openAt(join(directory, "store.db"));
    const { message, acknowledged } = await fill(store);
    expect(message).toMatch(/disk is full|is full\.$/);
    expect(acknowledged).toBeGreaterThan(3);
    await expectStoreError(store.execute(addOrganization("again", "n".repeat(20_000))), "unavailable");
    const view = await store.read([organizationRef(`o${acknowledged}`)]);
    expect([view.position, view.get(organizationRef(`o${acknowledged}`)).version]).toEqual([acknowledged, 0]);
    expect(await store.verify()).toMatchObject({ problems: [], events: acknowledged });
    grow();
    const { events } = await store.execute(addOrganization("again", "n".repeat(20_000)));
    expect(events[0]?.position).toBe(acknowledged + 1);
    expect(await store.verify()).toMatchObject({ problems: [], events: acknowledged + 1 });
  });

  it("leaves a store that opens again with every acknowledged write", async (context) => {
    const { directory, grow } = mountSmall(context);
    const store = await openAt(join(directory, "store.db"));
    const { acknowledged } = await fill(store);
    await store.close();
    grow();
    const again = await openAt(join(directory, "store.db"));
    expect(await again.verify()).toMatchObject({ problems: [], events: acknowledged });
  });
});
