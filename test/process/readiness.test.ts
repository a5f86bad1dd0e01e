// Whether a server says that it should be sent calls, while its store takes no writes.
import { describe, expect, it } from "vitest";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { Api, newFactors } from "./api.ts";
import { type ServerProcess, startServer, TemporaryDirectory, until } from "./portcullis.ts";
import { SickDisk } from "./sick-disk.ts";

/** Asks again until the answer is as wanted; the test's own time ends it. */
async function readinessOf(server: ServerProcess): Promise<string> {
  const { status, text } = await get(server, "/debug/ready");
  return `${status} ${text}`;
}

/** What the metric says, which may be a moment old. */
async function metricOf(server: ServerProcess): Promise<string | undefined> {
  const { text } = await get(server, "/debug/metrics");
  return /^portcullis_store_ready (.*)$/m.exec(text)?.[1];
}

async function get(server: ServerProcess, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(server.url + path);
  return { status: response.status, text: await response.text() };
}

const ready = "200 ok\n";
const notReady = "503 not ready: store\n";

async function becomesReady(server: ServerProcess): Promise<void> {
  await until(
    () => readinessOf(server),
    (answer) => answer === ready,
  );
  await until(
    () => metricOf(server),
    (value) => value === "1",
  );
}

async function isNotReady(server: ServerProcess): Promise<void> {
  expect(await readinessOf(server)).toBe(notReady);
  await until(
    () => metricOf(server),
    (value) => value === "0",
  );
}

describe.concurrent("readiness", () => {
  it("ends with a write that the disk failed, and comes back with one that succeeds, without any call", async (context) => {
    using directory = new TemporaryDirectory();
    const disk = SickDisk.create(context, directory);
    const data = directory.join("data");
    await using server = await startServer({ data, env: disk.env });
    const api = new Api(server.url, server.adminToken);
    expect((await api.addPolicy()).status).toBe(200);
    await becomesReady(server);

    disk.fail();
    expect((await api.addFactor(newFactors[0])).status).toBe(500);
    for (let write = 0; write < 4; write += 1) expect((await api.addFactor(newFactors[0])).status).toBe(503);
    await isNotReady(server);
    expect((await api.readPolicy()).status).toBe(200);
    // Nobody calls any more, and the server itself tries to write.
    const before = disk.attempts;
    await until(
      async () => disk.attempts,
      (count) => count > before,
    );
    await isNotReady(server);

    disk.heal();
    await becomesReady(server);
    expect((await api.addFactor(newFactors[0])).status).toBe(200);
    expect(server.stderr).toContain("the store cannot be used: the server is not ready");
    expect(server.stderr).toContain("the store works again: the server is ready");
    expect((await server.stop()).exitCode).toBe(0);
  });

  it("ends with a write that the database has no room for, and comes back with one that succeeds", async () => {
    using directory = new TemporaryDirectory();
    const database = new OwnServer();
    try {
      await database.start();
      await using server = await startServer({
        data: directory.join("data"),
        env: { PORTCULLIS_STORE: database.url },
      });
      const api = new Api(server.url, server.adminToken);
      expect((await api.addPolicy()).status).toBe(200);
      await becomesReady(server);

      // What PostgreSQL says of a full disk.
      await query(
        database.url,
        `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON portcullis.events EXECUTE FUNCTION refuse();
        CREATE TRIGGER full_disk BEFORE INSERT ON portcullis.records EXECUTE FUNCTION refuse()`,
      );
      expect((await api.addFactor(newFactors[0])).status).toBe(503);
      await isNotReady(server);
      expect((await api.readPolicy()).status).toBe(200);

      await query(
        database.url,
        "DROP TRIGGER full_disk ON portcullis.events; DROP TRIGGER full_disk ON portcullis.records",
      );
      await becomesReady(server);
      expect((await api.addFactor(newFactors[0])).status).toBe(200);
    } finally {
      await database.stop();
    }
  });

  it("does not end with a call that is refused", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const api = new Api(server.url, server.adminToken);
    expect((await api.addFactor("UNSPECIFIED")).status).toBe(400);
    expect((await api.removeFactor(newFactors[0])).status).toBe(404);
    expect(await readinessOf(server)).toBe(ready);
  });
});
