import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { type Answer, type Client, createClients } from "../fixtures/clients.ts";
import { Api, sequenceOf } from "./api.ts";
import { checkContiguous, type EventRow, readEvents, verifyStore, WriteLock } from "./database.ts";
import { runCommand, runJson, type ServerProcess, startServer, TemporaryDirectory } from "./portcullis.ts";

const { updateCustomLoginPolicy, addSecondFactorToLoginPolicy, removeSecondFactorFromLoginPolicy } =
  ManagementService.method;

describe.each([
  { processes: 1, writersEach: 64 },
  { processes: 2, writersEach: 32 },
])("$processes processes with $writersEach writers each on one organization", ({ processes, writersEach }) => {
  let directory: TemporaryDirectory;
  let data: string;
  const servers: ServerProcess[] = [];
  let clients: Client[][];
  let organizationId: string;

  beforeAll(async () => {
    directory = new TemporaryDirectory();
    data = directory.join("data");
    for (let i = 0; i < processes; i += 1) servers.push(await startServer({ data }));
    clients = servers.map(({ url }) => [...createClients(url)]);
    organizationId = (await runJson<{ id: string }>(data, "org", "add", "Busy")).id;
    const [server] = servers;
    expect((await new Api(server?.url ?? "", server?.adminToken ?? "").addPolicy(organizationId)).status).toBe(200);
  });
  afterAll(async () => {
    for (const client of clients.flat()) client.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  const headers = () => ({
    authorization: `Bearer ${servers[0]?.adminToken}`,
    "x-zitadel-orgid": organizationId,
  });

  /** Runs every writer at once, each on one protocol of one process, and resolves to all their answers. */
  async function writeAtOnce(write: (client: Client, writer: number) => Promise<Answer[]>): Promise<Answer[]> {
    const writers = clients.flatMap((protocols) =>
      Array.from({ length: writersEach }, (_, index) => protocols[index % protocols.length] as Client),
    );
    return (await Promise.all(writers.map(write))).flat();
  }

  const eventsSince = (position: number): EventRow[] => {
    const events = readEvents(data);
    checkContiguous(events);
    return events.filter((event) => event.position > position);
  };
  const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

  it("loses no update", async () => {
    const { length: before } = readEvents(data);
    const updatesEach = 4;
    const answers = await writeAtOnce(async (client, writer) => {
      const answered: Answer[] = [];
      for (let update = 0; update < updatesEach; update += 1) {
        // A lifetime that no other update sets.
        const seconds = BigInt(1 + writer * updatesEach + update);
        const message = { allowUsernamePassword: true, passwordCheckLifetime: { seconds } };
        answered.push(await client.call({ method: updateCustomLoginPolicy, message, headers: headers() }));
      }
      return answered;
    });
    const count = processes * writersEach * updatesEach;
    expect(answers.filter(({ code }) => code !== 0)).toEqual([]);
    const written = eventsSince(before);
    expect(written.map(({ type }) => type)).toEqual(Array(count).fill("LoginPolicyChanged"));
    // Each answer names an event of its own, and each update is in one event.
    expect(sorted(answers.map(({ body }) => sequenceOf(body)))).toEqual(written.map(({ sequence }) => sequence));
    const lifetimes = written.map(({ payload }) => (payload["passwordCheckLifetime"] as { seconds: number }).seconds);
    expect(sorted(lifetimes)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
    // All processes read the last one.
    for (const { url, adminToken } of servers) {
      const { body } = await new Api(url, adminToken).readPolicy(organizationId);
      expect((body["policy"] as JsonObject)["passwordCheckLifetime"]).toBe(`${lifetimes.at(-1)}s`);
    }
  });

  it("refuses only what the write before it had done already", async () => {
    const { length: before } = readEvents(data);
    const message = { type: SecondFactorType.OTP_SMS };
    const answers = await writeAtOnce(async (client, writer) => {
      const answered: Answer[] = [];
      for (let turn = 0; turn < 4; turn += 1) {
        const method = (writer + turn) % 2 === 0 ? addSecondFactorToLoginPolicy : removeSecondFactorFromLoginPolicy;
        answered.push(await client.call({ method, message, headers: headers() }));
      }
      return answered;
    });
    const [done, alreadyExists, notFound] = [0, 6, 5];
    expect(answers.filter(({ code }) => ![done, alreadyExists, notFound].includes(code))).toEqual([]);
    const written = eventsSince(before);
    expect(sorted(answers.filter(({ code }) => code === done).map(({ body }) => sequenceOf(body)))).toEqual(
      written.map(({ sequence }) => sequence),
    );
    for (const [index, { type, payload }] of written.entries()) {
      expect(type).toBe(index % 2 === 0 ? "SecondFactorAdded" : "SecondFactorRemoved");
      expect(payload).toEqual({ factor: "otp_sms" });
    }
    const factors = written.length % 2 === 1 ? ["OTP_SMS"] : [];
    for (const { url, adminToken } of servers) {
      expect(await new Api(url, adminToken).listFactors(organizationId)).toEqual(factors);
    }
    expect((await verifyStore(data)).problems).toEqual([]);
  });
});

describe.concurrent("a store that another process keeps busy", () => {
  it("is read at once while a write waits, and written when it is free", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const api = new Api(server.url, server.adminToken);
    using lock = new WriteLock(server.data);
    let isAnswered = false;
    const write = api.addFactor("OTP_SMS").finally(() => {
      isAnswered = true;
    });
    for (let read = 0; read < 20; read += 1) {
      const started = performance.now();
      expect(await api.listFactors()).toEqual(["OTP", "U2F"]);
      expect(performance.now() - started).toBeLessThan(1000);
    }
    expect(isAnswered).toBe(false);
    lock.release();
    expect((await write).status).toBe(200);
    expect(await api.listFactors()).toEqual(["OTP", "U2F", "OTP_SMS"]);
  });

  it("answers a write with 503 where that takes too long, and works again afterwards", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const api = new Api(server.url, server.adminToken);
    using lock = new WriteLock(server.data);
    const command = runCommand(["org", "add", "Acme", "--data", server.data]);
    const { status, body } = await api.addFactor("OTP_SMS");
    expect({ status, code: body["code"] }).toEqual({ status: 503, code: 14 });
    expect(body["message"]).toMatch(/^[a-z][^\n]+$/);
    expect(body["message"]).not.toMatch(/sqlite|database|locked|portcullis\.db|\//i);
    expect(await command).toMatchObject({
      exitCode: 1,
      stdout: "",
      stderr: expect.stringMatching(/^portcullis: [^\n]*is busy[^\n]*\n$/),
    });
    expect(await api.listFactors()).toEqual(["OTP", "U2F"]);
    lock.release();
    expect((await api.addFactor("OTP_SMS")).status).toBe(200);
    expect(await api.listFactors()).toEqual(["OTP", "U2F", "OTP_SMS"]);
    // What was refused for being late was not written later.
    expect(readEvents(server.data).filter(({ actor }) => actor === "cli")).toEqual([]);
    expect((await verifyStore(server.data)).problems).toEqual([]);
  });
});
