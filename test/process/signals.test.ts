import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import * as grpc from "@grpc/grpc-js";
import { describe, expect, it, vi } from "vitest";
import { Api, secondFactorsPath } from "./api.ts";
import { readEvents, verifyStore, WriteLock } from "./database.ts";
import {
  complaintsIn,
  type Ended,
  PortcullisProcess,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

// A call is kept in flight by holding the store's write lock, which a write waits for.

const signals = ["SIGTERM", "SIGINT"] as const;
const addFactor = JSON.stringify({ type: "SECOND_FACTOR_TYPE_OTP_SMS" });

/** Sends a write over HTTP/1.1; resolves to its answer once the server has the request. */
async function sendWrite(server: ServerProcess, agent: Agent): Promise<{ readonly answer: Promise<WriteAnswer> }> {
  const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" };
  const sent = request(server.url + secondFactorsPath, { method: "POST", headers, agent });
  const answer = new Promise<WriteAnswer>((resolve, reject) => {
    sent.once("error", reject);
    sent.once("response", (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.once("end", () =>
        resolve({ status: response.statusCode, connection: response.headers.connection, body }),
      );
    });
  });
  answer.catch(() => {}); // Looked at by those who await it.
  await new Promise((resolve) => sent.end(addFactor, () => resolve(undefined)));
  await answerTo(server);
  return { answer };
}

interface WriteAnswer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
  readonly body: string;
}

/** The server takes connections in their order, so when one that comes later is answered, it has what came before. */
async function answerTo(server: ServerProcess): Promise<void> {
  for (let i = 0; i < 2; i += 1) expect((await new Api(server.url, server.adminToken).readInstance()).status).toBe(200);
}

/** Resolves when the server refuses new connections. */
function refusesConnections(server: ServerProcess): Promise<boolean> {
  const { port, hostname } = new URL(server.url);
  const isRefused = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(Number(port), hostname);
      socket.once("connect", () => {
        socket.destroy();
        resolve(false);
      });
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
    });
  return vi.waitUntil(isRefused, { timeout: 4000, interval: 10 });
}

const endedWell = ({ exitCode, signal, stderr }: Ended): boolean =>
  exitCode === 0 && signal === null && complaintsIn(stderr).length === 0;

describe.concurrent.each(signals)("%s", (signal) => {
  it("lets a call in flight over HTTP/1.1 end, refuses new ones, and exits with 0", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    using lock = new WriteLock(server.data);
    const agent = new Agent({ keepAlive: true });
    const { answer } = await sendWrite(server, agent);
    server.kill(signal);
    await refusesConnections(server);
    lock.release();
    expect(await answer).toMatchObject({ status: 200, connection: "close" });
    const ended = await server.endedWithin(10_000);
    expect(ended).toSatisfy(endedWell);
    expect(readEvents(server.data).at(-1)).toMatchObject({ type: "SecondFactorAdded", payload: { factor: "otp_sms" } });
    agent.destroy();
  });

  it("lets a call in flight over gRPC end, refuses new ones, and exits with 0", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    using lock = new WriteLock(server.data);
    const session = connectHttp2(server.url);
    const write = callGrpc(session, server, "AddSecondFactorToLoginPolicy", Buffer.from([8, 4]));
    // One connection is read in order: when the later call is answered, the earlier one is in flight.
    expect(await callGrpc(session, server, "GetLoginPolicy", Buffer.alloc(0))).toBe(grpc.status.OK);
    const goaway = new Promise((resolve, reject) => {
      session.once("goaway", resolve);
      session.once("close", () => reject(new Error("the session ended while a call was in flight")));
    });
    server.kill(signal);
    await goaway;
    await expect(callGrpc(session, server, "GetLoginPolicy", Buffer.alloc(0))).rejects.toThrow(/GOAWAY/);
    await refusesConnections(server);
    lock.release();
    expect(await write).toBe(grpc.status.OK);
    expect(await server.endedWithin(10_000)).toSatisfy(endedWell);
  });

  it("exits at once with 0 where nothing is in flight, whatever is connected", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const { port, hostname } = new URL(server.url);
    const silent = connect(Number(port), hostname);
    silent.on("error", () => {});
    const session = connectHttp2(server.url);
    session.on("error", () => {});
    await callGrpc(session, server, "GetLoginPolicy", Buffer.alloc(0));
    const agent = new Agent({ keepAlive: true });
    const { answer } = await sendWrite(server, agent);
    expect(await answer).toMatchObject({ status: 200 });
    server.kill(signal);
    // Well below the time that calls in flight would get.
    expect(await server.endedWithin(5000)).toSatisfy(endedWell);
    expect((await verifyStore(server.data)).problems).toEqual([]);
    agent.destroy();
    silent.destroy();
  });

  it("exits at once, and not with 0, when it comes twice", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    using lock = new WriteLock(server.data);
    const agent = new Agent({ keepAlive: true });
    const { answer } = await sendWrite(server, agent);
    server.kill(signal);
    await refusesConnections(server);
    server.kill(signal);
    // The lock is still held, so nothing else can have ended it.
    const ended = await server.endedWithin(3000);
    expect(ended.exitCode).not.toBe(0);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
    await expect(answer).rejects.toThrow();
    lock.release();
    expect((await verifyStore(server.data)).problems).toEqual([]);
    agent.destroy();
  });
});

describe.concurrent("the end of a server", () => {
  it("comes within 10 s where a caller never finishes its request", async () => {
    using directory = new TemporaryDirectory();
    await using server = await startServer({ data: directory.join("data") });
    const { port, hostname } = new URL(server.url);
    const endless = connect(Number(port), hostname);
    endless.on("error", () => {});
    const head = `POST ${secondFactorsPath} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.adminToken}\r\n`;
    await new Promise((resolve) =>
      endless.write(`${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`, resolve),
    );
    await answerTo(server);
    server.kill("SIGTERM");
    expect(await server.endedWithin(10_000)).toMatchObject({ exitCode: 0, signal: null });
  });

  it("comes by the signal itself before the server is ready", async () => {
    using directory = new TemporaryDirectory();
    const data = directory.join("data");
    await using early = new PortcullisProcess(["serve", "--listen", "127.0.0.1:0", "--data", data]);
    early.kill("SIGTERM");
    expect(await early.endedWithin(5000)).toMatchObject({ signal: "SIGTERM", stdout: "" });
    await using server = await startServer({ data });
    await answerTo(server);
  });
});

/** The grpc-status of one call. Throws where the session takes no more calls. */
function callGrpc(session: ClientHttp2Session, server: ServerProcess, rpc: string, message: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    session.once("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": `/zitadel.management.v1.ManagementService/${rpc}`,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${server.adminToken}`,
    });
    let status: string | undefined;
    stream.on("response", (headers) => {
      status = headers["grpc-status"]?.toString();
    });
    stream.on("trailers", (trailers) => {
      status = trailers["grpc-status"]?.toString() ?? status;
    });
    stream.once("error", reject);
    stream.once("close", () => resolve(Number(status)));
    stream.resume();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
  });
}
