// Calls of one caller wait for each other before they make others wait (src/rpc/call/caller-turns.ts), on every protocol and path.
import { once } from "node:events";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { digestToken, generateToken } from "../../src/auth/token.ts";
import type { Gate } from "../../src/rpc/call/admit.ts";
import { CallerTurns, callerKey } from "../../src/rpc/call/caller-turns.ts";
import { openEcho } from "../fixtures/echo.ts";
import { paths, startTestServer } from "../fixtures/server.ts";
import { type Exchange, exchange, frame, outcomeOf } from "../fixtures/wire.ts";
import { session2 } from "./listener-clients.ts";

const service = "/portcullis.test.v1.EchoService";
const json = (room: string) => Buffer.from(JSON.stringify({ room }));

/** A call of GetRoom in each protocol. */
const protocols = {
  gRPC: (room) => ({
    version: 2,
    path: `${service}/GetRoom`,
    headers: { "content-type": "application/grpc+json", te: "trailers" },
    body: frame(json(room)),
  }),
  "gRPC-Web": (room) => ({
    path: `${service}/GetRoom`,
    headers: { "content-type": "application/grpc-web+json" },
    body: frame(json(room)),
  }),
  Connect: (room) => ({
    version: 2,
    path: `${service}/GetRoom`,
    headers: { "content-type": "application/json" },
    body: json(room),
  }),
  REST: (room) => ({ method: "GET", path: `/test/v1/rooms/${room}` }),
} as const satisfies Readonly<Record<string, (room: string) => Exchange>>;
const grpc = protocols.gRPC;
const ways = Object.entries(protocols).flatMap(([protocol, request]) =>
  paths.filter(({ path }) => path === "direct" || protocol !== "REST").map((path) => ({ protocol, request, ...path })),
);

/** A gate that takes everybody's word for who they are, and nobody without one. */
const gate: Gate = ({ requestHeader, values }) => {
  values.set(callerKey, requestHeader.get("x-caller") ?? undefined);
};

/** A server whose GetRoom tells which rooms were asked for, and holds the answer for a room `hold…` until it is let go. */
async function openRooms(options: { readonly maxInFlight?: number; readonly stockHandlers?: boolean }) {
  const asked: string[] = [];
  const watchers: (() => void)[] = [];
  const letGo = Promise.withResolvers<void>();
  const seen: { gated: number } = { gated: 0 };
  const tell = () => {
    for (const watcher of watchers.splice(0)) watcher();
  };
  const server = await openEcho({
    ...(options.stockHandlers && { stockHandlers: true }),
    turns: new CallerTurns(options.maxInFlight === undefined ? {} : { maxInFlight: options.maxInFlight }),
    gate(context) {
      seen.gated += 1;
      tell();
      return gate(context);
    },
    implementation: {
      async getRoom({ room }) {
        asked.push(room);
        tell();
        if (room.startsWith("hold")) await letGo.promise;
        return { room };
      },
      async *count(_, { signal }) {
        yield { number: 1 };
        await once(signal, "abort");
      },
    },
  });
  return {
    server,
    asked,
    letGo: letGo.resolve,
    /** Resolves when it holds of what the server has seen. */
    async until(holds: () => boolean) {
      while (!holds()) await new Promise<void>((resolve) => watchers.push(resolve));
    },
    gated: () => seen.gated,
    async call(request: Exchange, caller: string, headers: Record<string, string> = {}) {
      const all = { ...request.headers, "x-caller": caller, ...headers };
      return outcomeOf(await exchange(server.url, { ...request, headers: all }));
    },
  };
}

describe.each(ways)("turns of callers, $protocol on the $path path", ({ request, stockHandlers }) => {
  it("lets the second call of a caller wait for the first, and nobody else's", async () => {
    const { call, asked, letGo, until, gated } = await openRooms({ maxInFlight: 1, stockHandlers });
    const held = call(request("hold"), "ada");
    await until(() => asked.length === 1);
    const second = call(request("second"), "ada");
    await until(() => gated() === 2);
    expect(await call(request("other"), "bob")).toMatchObject({ code: 0 });
    expect(asked).toEqual(["hold", "other"]);
    letGo();
    expect(await Promise.all([held, second])).toMatchObject([{ code: 0 }, { code: 0 }]);
    expect(asked).toEqual(["hold", "other", "second"]);
    // Places are given back.
    expect(await call(request("third"), "ada")).toMatchObject({ code: 0 });
  });

  it("ends a call that waits when its deadline passes, and never runs it", async () => {
    const { call, asked, letGo, until } = await openRooms({ maxInFlight: 1, stockHandlers });
    const held = call(request("hold"), "ada");
    await until(() => asked.length === 1);
    const deadline = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
    expect(await call(request("late"), "ada", deadline)).toMatchObject({ code: Code.DeadlineExceeded });
    letGo();
    await held;
    expect(await call(request("next"), "ada")).toMatchObject({ code: 0 });
    expect(asked).toEqual(["hold", "next"]);
  });

  it("is the place of a call until its implementation has ended, also where its deadline has passed", async () => {
    const { call, asked, letGo, until, gated } = await openRooms({ maxInFlight: 1, stockHandlers });
    const deadline = { "grpc-timeout": "50m", "connect-timeout-ms": "50" };
    expect(await call(request("hold"), "ada", deadline)).toMatchObject({ code: Code.DeadlineExceeded });
    expect(asked).toEqual(["hold"]);
    const next = call(request("next"), "ada");
    await until(() => gated() === 2);
    expect(await call(request("other"), "bob")).toMatchObject({ code: 0 });
    expect(asked).toEqual(["hold", "other"]);
    letGo();
    expect(await next).toMatchObject({ code: 0 });
  });

  it("refuses what is more than may wait", async () => {
    const { call, asked, letGo, until, gated } = await openRooms({ maxInFlight: 1, stockHandlers });
    const held = call(request("hold"), "ada");
    await until(() => asked.length === 1);
    const waiting = Array.from({ length: 10 }, () => call(request("waits"), "ada"));
    await until(() => gated() === 11);
    expect(await call(request("tooMany"), "ada")).toMatchObject({
      code: Code.ResourceExhausted,
      message: "too many calls of yours are waiting: send fewer at once, and try this one again later",
    });
    letGo();
    expect(await Promise.all([held, ...waiting])).toHaveLength(11);
    expect(asked).toEqual(["hold", ...Array.from({ length: 10 }, () => "waits")]);
  });
});

describe.each(paths)("turns of callers on the $path path", ({ stockHandlers }) => {
  it("forget a call whose client goes while it waits", async () => {
    const { server, call, asked, letGo, until, gated } = await openRooms({ maxInFlight: 1, stockHandlers });
    const { headers, body, path } = grpc("gone");
    const held = call(grpc("hold"), "ada");
    await until(() => asked.length === 1);
    const session = session2(server);
    const stream = session.request({ ":method": "POST", ":path": path, ...headers, "x-caller": "ada" });
    stream.on("error", () => {});
    stream.end(body);
    await until(() => gated() === 2);
    stream.close(8);
    await once(stream, "close");
    // On the same connection, so that the server has seen the reset before.
    const after = session.request({ ":method": "GET", ":path": "/test/v1/rooms/after", "x-caller": "bob" });
    await once(after.resume(), "end");
    letGo();
    await held;
    expect(await call(grpc("next"), "ada")).toMatchObject({ code: 0 });
    expect(asked).toEqual(["hold", "after", "next"]);
    session.destroy();
  });

  it("are not kept by a stream that waits", async () => {
    const { server, call } = await openRooms({ maxInFlight: 1, stockHandlers });
    const session = session2(server);
    const headers = { "content-type": "application/grpc+json", te: "trailers", "x-caller": "ada" };
    const stream = session.request({ ":method": "POST", ":path": `${service}/Count`, ...headers });
    stream.end(frame(Buffer.from("{}")));
    await once(stream, "data");
    expect(await call(grpc("a"), "ada")).toMatchObject({ code: 0 });
    session.destroy();
  });

  it("come for all that wait when the server stops", async () => {
    const { server, call, asked, letGo, until, gated } = await openRooms({ maxInFlight: 1, stockHandlers });
    const calls = ["hold", "b", "c"].map((room) => call(grpc(room), "ada"));
    await until(() => gated() === 3 && asked.length === 1);
    const closed = server.close();
    letGo();
    expect(await Promise.all(calls)).toMatchObject([{ code: 0 }, { code: 0 }, { code: 0 }]);
    await closed;
  });

  it("are not kept where the gate names nobody: many may share an address", async () => {
    const { server, asked, letGo, until } = await openRooms({ maxInFlight: 1, stockHandlers });
    const held = exchange(server.url, grpc("hold"));
    await until(() => asked.length === 1);
    expect(outcomeOf(await exchange(server.url, grpc("second")))).toMatchObject({ code: 0 });
    letGo();
    await held;
  });
});

describe("turns of the API's callers", () => {
  const path = "/zitadel.management.v1.ManagementService/ListLoginPolicySecondFactors";
  const typed = { "content-type": "application/grpc", te: "trailers" };

  it("are a user's, whichever of their tokens they use", async () => {
    await using server = Object.assign(await startTestServer({ callsPerCaller: 1 }), {
      [Symbol.asyncDispose]: () => server.close({ graceMs: 0 }),
    });
    const { credentials, adminToken, url } = server;
    const ada = await server.createCaller("ORG_OWNER");
    const again = generateToken();
    await credentials.createToken({ userName: "caller 1", digest: digestToken(again) });
    const session = session2(server);
    const begin = (token: string) => {
      const headers = { ...typed, authorization: `Bearer ${token}` };
      const stream = session.request({ ":method": "POST", ":path": path, ...headers });
      return { stream, answered: once(stream.resume(), "end") };
    };
    const call = async (token: string, headers: Record<string, string> = {}) => {
      const all = { ...typed, authorization: `Bearer ${token}`, ...headers };
      return outcomeOf(await exchange(url, { version: 2, path, headers: all, body: frame(Buffer.alloc(0)) })).code;
    };
    const deadline = { "grpc-timeout": "100m" };
    // Its body does not come, so it keeps its turn.
    const held = begin(ada);
    const other = begin(adminToken);
    other.stream.end(frame(Buffer.alloc(0)));
    await other.answered;
    expect(await call(again, deadline)).toBe(Code.DeadlineExceeded);
    expect(await call("wrong")).toBe(Code.Unauthenticated);
    expect(await call(adminToken)).toBe(0);
    held.stream.end(frame(Buffer.alloc(0)));
    await held.answered;
    expect(await call(again)).toBe(0);
    session.destroy();
  });
});
