import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { type Client, createClients } from "../fixtures/clients.ts";
import { Api, sequenceOf } from "./api.ts";
import { checkContiguous, databasePath, type EventRow, readEvents } from "./database.ts";
import { skipBecause, whyNoStrace } from "./machine.ts";
import { runCommand, runJson, type ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";
import { createRandom } from "./random.ts";

// An acknowledged write survives whatever happens to the process.

const factors = { otp: "OTP", otp_email: "OTP_EMAIL", otp_sms: "OTP_SMS", recovery_codes: "RECOVERY_CODES" } as const;
type Factor = keyof typeof factors;
const organizationIds = ["one", "two", "three", "four"];
const alreadyExists = 6;
const notFound = 5;

interface Acknowledged {
  readonly sequence: number;
  readonly type: "SecondFactorAdded" | "SecondFactorRemoved";
}

/** One factor of one organization, which one writer at a time adds and removes. */
interface Lane {
  readonly organizationId: string;
  readonly factor: Factor;
  isThere: boolean;
  readonly acknowledged: Acknowledged[];
}

/** Adds and removes in turn until no answer comes any more. */
async function write(lane: Lane, client: Client, token: string, onAcknowledged: () => void): Promise<void> {
  const { add, remove } = {
    add: ManagementService.method.addSecondFactorToLoginPolicy,
    remove: ManagementService.method.removeSecondFactorFromLoginPolicy,
  };
  const message = { type: SecondFactorType[factors[lane.factor]] };
  const headers = { authorization: `Bearer ${token}`, "x-zitadel-orgid": lane.organizationId };
  for (;;) {
    const method = lane.isThere ? remove : add;
    let answer: Awaited<ReturnType<Client["call"]>>;
    try {
      answer = await client.call({ method, message, headers });
    } catch {
      return; // The connection is gone: whether this one was written is not known.
    }
    // Only where a write before the last kill came through without an answer.
    const wasDone = answer.code === (lane.isThere ? notFound : alreadyExists);
    if (answer.code !== 0 && !wasDone) return;
    if (answer.code === 0) {
      const type = lane.isThere ? "SecondFactorRemoved" : "SecondFactorAdded";
      lane.acknowledged.push({ sequence: sequenceOf(answer.body), type });
      onAcknowledged();
    }
    lane.isThere = !lane.isThere;
  }
}

/** Writes on every lane, half over gRPC and half over REST, and kills the server after so many answers. */
async function writeUntilKilled(server: ServerProcess, lanes: readonly Lane[], answersBeforeKill: number) {
  const clients = createClients(server.url).filter(({ protocol }) => ["gRPC", "REST"].includes(protocol));
  const token = server.adminToken;
  let answers = 0;
  const onAcknowledged = () => {
    answers += 1;
    if (answers === answersBeforeKill) server.kill("SIGKILL");
  };
  await Promise.all(
    lanes.map((lane, index) => write(lane, clients[index % clients.length] as Client, token, onAcknowledged)),
  );
  for (const client of clients) client.close();
  return server.endedWithin(5000);
}

/** Throws unless the lane's events are those that were acknowledged, in order, and at most one more after each kill. */
function checkLane({ organizationId, factor, acknowledged }: Lane, events: readonly EventRow[], kills: number): void {
  const name = `${factor} of ${organizationId}`;
  const written = events.filter((event) => event.aggregateId === organizationId && event.payload["factor"] === factor);
  const bySequence = new Map(written.map((event) => [event.sequence, event]));
  expect(bySequence.size, name).toBe(written.length);
  for (const { sequence, type } of acknowledged)
    expect(bySequence.get(sequence)?.type, `${name} ${sequence}`).toBe(type);
  expect(new Set(acknowledged.map(({ sequence }) => sequence)).size, name).toBe(acknowledged.length);
  expect(written.length - acknowledged.length, name).toBeLessThanOrEqual(kills);
  for (const [index, { type }] of written.entries()) {
    expect(type, name).toBe(index % 2 === 0 ? "SecondFactorAdded" : "SecondFactorRemoved");
  }
}

describe("a server killed in the middle of concurrent writes", () => {
  it("has every acknowledged write exactly once when it is started again", async () => {
    const random = createRandom(20260101);
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const lanes: Lane[] = organizationIds.flatMap((organizationId) =>
      (Object.keys(factors) as Factor[]).map((factor) => ({
        organizationId,
        factor,
        isThere: false,
        acknowledged: [],
      })),
    );
    await using started = new AsyncDisposableStack();
    const start = async () => started.use(await startServer({ data }));
    let server = await start();
    const { adminToken } = server;
    for (const id of organizationIds) {
      await runJson(data, "org", "add", id, "--id", id);
      expect((await new Api(server.url, adminToken).addPolicy(id)).status).toBe(200);
    }
    const rounds = 8;
    for (let round = 1; round <= rounds; round += 1) {
      const answersBeforeKill = 20 + Math.floor(random() * 300);
      expect(await writeUntilKilled(server, lanes, answersBeforeKill)).toMatchObject({ signal: "SIGKILL" });
      server = await start();
      const events = readEvents(data);
      checkContiguous(events);
      for (const lane of lanes) checkLane(lane, events, round);
      const api = new Api(server.url, adminToken);
      for (const id of organizationIds) {
        const last = (factor: Factor) =>
          events.findLast(({ aggregateId, payload }) => aggregateId === id && payload["factor"] === factor)?.type;
        const expected = (Object.keys(factors) as Factor[]).filter((factor) => last(factor) === "SecondFactorAdded");
        expect(new Set(await api.listFactors(id))).toEqual(new Set(expected.map((factor) => factors[factor])));
      }
    }
    expect(lanes.every(({ acknowledged }) => acknowledged.length > 0)).toBe(true);
    expect(await runCommand(["store", "verify", "--data", data])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^the store is sound: /),
    });
  });
});

describe("an acknowledged write", () => {
  it("has a sync of its own where none other comes at the same time", async (context) => {
    skipBecause(context, whyNoStrace());
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    // Set up without being watched, so that only the writes are counted.
    {
      await using first = await startServer({ data });
      await first.stop();
    }
    const trace = directory.join("trace");
    const under = ["strace", "-D", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace];
    await using server = await startServer({ data, under });
    const api = new Api(server.url, server.adminToken);
    const writes = 40;
    for (let i = 0; i < writes; i += 1) {
      const { status } = await (i % 2 === 0 ? api.addFactor("OTP_SMS") : api.removeFactor("OTP_SMS"));
      expect(status).toBe(200);
    }
    await server.stop();
    const log = `${databasePath(data)}-wal`;
    const synced = readFileSync(trace, "utf8")
      .split("\n")
      .filter((line) => /\bf(data)?sync\(/.test(line) && line.includes(`<${log}>`));
    expect(synced.length).toBeGreaterThanOrEqual(writes);
  });
});

describe("the admin token", () => {
  it.for([
    ["beside the store", []],
    ["apart from the store", ["--store", "sqlite:elsewhere/policies.db"]],
  ] as const)("has its name on disk before the server serves, %s", async ([, flags], context) => {
    skipBecause(context, whyNoStrace());
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    const trace = directory.join("trace");
    const under = ["strace", "-D", "-f", "-y", "-e", "trace=/^link,/^f(data)?sync,listen", "-o", trace];
    await using server = await startServer({ data, flags, under, cwd: directory.path });
    await server.stop();
    const calls = readFileSync(trace, "utf8").split("\n");
    const named = calls.findIndex((call) => /\blink(at)?\(/.test(call) && call.includes(`"${data}/admin.token")`));
    const serves = calls.findIndex((call) => /\blisten\(/.test(call));
    expect(named).toBeGreaterThan(-1);
    expect(serves).toBeGreaterThan(named);
    expect(calls.slice(named, serves).filter((call) => call.includes(`<${data}>`))).not.toEqual([]);
  });
});
