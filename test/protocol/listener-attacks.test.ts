import { once } from "node:events";
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { ListenerHandler, ListenerResponse } from "../../src/rpc/listener/handler.ts";
import type { Listener } from "../../src/rpc/listener/listener.ts";
import {
  continuationFrame,
  dataFrame,
  headersFrame,
  initialWindowSetting,
  openHeadersFrame,
  pingFrame,
  priorityFrame,
  resetFrame,
  settingsFrame,
  windowUpdateFrame,
} from "../fixtures/http2-frames.ts";
import {
  answer,
  call1,
  call2,
  cutsOf,
  echo,
  type FrameClient,
  frameClient,
  open,
  rawClient,
  session2,
  tls,
} from "./listener-clients.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_SETTINGS_TIMEOUT } = constants;
const PROTOCOL_ERROR = constants.NGHTTP2_PROTOCOL_ERROR;

const request = { ":method": "GET", ":scheme": "http", ":path": "/", ":authority": "h" };
const post = { ...request, ":method": "POST" };
/** The numbers of streams that a client opens. */
const streamOf = (turn: number) => 2 * turn + 1;

/** Calls on both versions, by clients of their own, until it is told to stop; throws unless all were served. */
function callMeanwhile(listener: Listener) {
  const session = session2(listener);
  let isOver = false;
  let calls = 0;
  const calling = (async () => {
    while (!isOver || calls < 2) {
      expect((await call1(listener, "/", { agent: false })).status).toBe(200);
      expect((await call2(session, { ":path": "/" })).status).toBe(200);
      calls += 2;
    }
  })();
  return async () => {
    isOver = true;
    await calling;
  };
}

/** Stops the clock by which listeners that are opened from now on look at their connections; `vi.advanceTimersByTime` moves it. */
function stopClock(): void {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "performance"] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Sends as fast as the server reads until the connection ends, at most so many. */
async function flood({ socket }: FrameClient, { frame, most }: { frame: (turn: number) => Uint8Array; most: number }) {
  const atOnce = 200;
  for (let turn = 0; turn < most && !socket.destroyed; turn += atOnce) {
    const frames = Array.from({ length: atOnce }, (_, i) => frame(turn + i));
    const isTaken = socket.write(Buffer.concat(frames));
    await (isTaken ? new Promise(setImmediate) : Promise.race([once(socket, "drain"), once(socket, "close")])).catch(
      () => {},
    );
  }
}

/** Of these the rate counts and not the number, so they go on until the server has looked. */
const endless = 5_000_000;

const floods: readonly {
  name: string;
  first?: Uint8Array;
  frame: (turn: number) => Uint8Array;
  most: number;
  code: number;
}[] = [
  {
    name: "rapid reset (CVE-2023-44487)",
    frame: (turn) =>
      Buffer.concat([headersFrame(streamOf(turn), request, true), resetFrame(streamOf(turn), NGHTTP2_CANCEL)]),
    most: 20_000,
    code: NGHTTP2_INTERNAL_ERROR,
  },
  { name: "SETTINGS", frame: () => settingsFrame(), most: 2_000, code: NGHTTP2_ENHANCE_YOUR_CALM },
  { name: "PING", frame: () => pingFrame(), most: 20_000, code: NGHTTP2_ENHANCE_YOUR_CALM },
  {
    name: "PRIORITY",
    frame: (turn) => priorityFrame(streamOf(turn), 0),
    most: 50_000,
    code: NGHTTP2_ENHANCE_YOUR_CALM,
  },
  {
    name: "WINDOW_UPDATE on the connection",
    frame: () => windowUpdateFrame(0, 1),
    most: endless,
    code: NGHTTP2_ENHANCE_YOUR_CALM,
  },
  {
    name: "WINDOW_UPDATE on a stream",
    first: headersFrame(1, post),
    frame: () => windowUpdateFrame(1, 1),
    most: endless,
    code: NGHTTP2_ENHANCE_YOUR_CALM,
  },
  {
    name: "DATA without data",
    first: headersFrame(1, post),
    frame: () => dataFrame(1, Buffer.alloc(0)),
    most: 20_000,
    code: NGHTTP2_INTERNAL_ERROR,
  },
  {
    name: "HEADERS without a field",
    frame: (turn) => headersFrame(streamOf(turn), {}, true),
    most: 20_000,
    code: NGHTTP2_INTERNAL_ERROR,
  },
  {
    name: "HEADERS again and again on one stream",
    first: headersFrame(1, post),
    frame: () => headersFrame(1, { "x-a": "b" }),
    most: 50_000,
    code: NGHTTP2_ENHANCE_YOUR_CALM,
  },
  {
    name: "CONTINUATION (CVE-2024-27316, CVE-2024-27983)",
    first: openHeadersFrame(1, request),
    frame: () => continuationFrame(1, { "x-a": "b".repeat(100) }),
    most: 20_000,
    code: NGHTTP2_INTERNAL_ERROR,
  },
  {
    name: "CONTINUATION without a field",
    first: openHeadersFrame(1, request),
    frame: () => continuationFrame(1, {}),
    most: 20_000,
    code: NGHTTP2_INTERNAL_ERROR,
  },
  {
    name: "more streams than it may have open",
    frame: (turn) => headersFrame(streamOf(turn), post),
    most: 20_000,
    code: PROTOCOL_ERROR,
  },
];

describe.each([
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
])("floods over HTTP/2, $name", ({ options }) => {
  it.each(floods)("end the connection and serve others: $name", async ({ first, frame, most, code }) => {
    const listener = await open({ ...options, limits: { controlBytesPerSecond: 100_000 } });
    const stop = callMeanwhile(listener);
    const attacker = await frameClient(listener);
    await attacker.next("settings");
    if (first) attacker.write(first);
    await flood(attacker, { frame, most });
    await attacker.closed;
    // Lost where bytes of the client lay unread at the end, because the system resets the connection then. And where the client
    // is too slow to read, nghttp2 may give up first.
    const codes = attacker.frames.flatMap((frame) => (frame.name === "goaway" ? [frame.code] : []));
    for (const sent of codes) expect([code, NGHTTP2_INTERNAL_ERROR, PROTOCOL_ERROR]).toContain(sent);
    await stop();
    expect(cutsOf(listener)).toEqual({ flood: 1 });
  });

  it.each([
    { name: "SETTINGS", frame: () => settingsFrame() },
    { name: "PING", frame: () => pingFrame() },
    { name: "calls", frame: (turn: number) => headersFrame(streamOf(turn), request, true) },
  ])("end the connection where the client does not read either: $name", async ({ frame }) => {
    const listener = await open({ ...options, limits: { writeTimeoutMs: 200 } });
    const stop = callMeanwhile(listener);
    const attacker = await frameClient(listener);
    await attacker.next("settings");
    attacker.socket.pause();
    await flood(attacker, { frame, most: 100_000 });
    attacker.socket.resume();
    await attacker.closed;
    await stop();
    // Whichever comes first; and where that is the flood, this short a time may pass before its connection is gone.
    expect(["flood", "flood,not_read", "not_read"]).toContain(Object.keys(cutsOf(listener)).sort().join());
  });
});

it("a client that pings and sends settings as clients do is left alone", async () => {
  const listener = await open();
  const session = session2(listener);
  for (let turn = 0; turn < 100; turn += 1) {
    await new Promise((resolve) => session.ping(resolve));
    if (turn % 20 === 0) session.settings({ initialWindowSize: 65_535 + turn });
  }
  expect((await call2(session, { ":path": "/" })).status).toBe(200);
  expect(cutsOf(listener)).toEqual({});
});

it("a request body of many small frames, large for what else a connection carries, is no flood", async () => {
  const listener = await open({ limits: { controlBytesPerSecond: 1, http2IdleTimeoutMs: 80 } });
  const client = await frameClient(listener);
  await client.next("settings");
  client.write(headersFrame(1, post));
  // Waits for the window, which the server opens as it reads.
  for (let sent = 0, window = 65_535; sent < 1_000_000; sent += 100) {
    if (window < 100) {
      for (const { payload } of [await client.next("windowUpdate"), await client.next("windowUpdate")]) {
        window = Math.max(window, payload.readUInt32BE(0));
      }
    }
    window -= 100;
    client.write(dataFrame(1, Buffer.alloc(100, "a")));
  }
  client.write(dataFrame(1, Buffer.alloc(0), true));
  expect((await client.next("headers")).stream).toBe(1);
  expect(cutsOf(listener)).toEqual({});
});

describe("half an HTTP/2 connection", () => {
  it("ends where the client never acknowledges the settings", async () => {
    const listener = await open({ limits: { headersTimeoutMs: 60 } });
    const stop = callMeanwhile(listener);
    const client = await rawClient(listener, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    const end = String.fromCharCode(NGHTTP2_SETTINGS_TIMEOUT);
    expect((await client.closed).at(-1)).toBe(end);
    await stop();
    expect(cutsOf(listener)).toEqual({ silent: 1 });
  });

  it("ends where headers never end", async () => {
    const listener = await open({ limits: { http2IdleTimeoutMs: 60, headersTimeoutMs: 60 } });
    const client = await frameClient(listener);
    // Its acknowledgement may not come between the parts of headers.
    await client.next("settings");
    client.write(openHeadersFrame(1, request));
    await client.closed;
    expect(cutsOf(listener)).toEqual({ slow_request: 1 });
  });
});

describe("a request body that drips over HTTP/2", () => {
  const slow = { headersTimeoutMs: 150, requestTimeoutMs: 150 };

  /** Sends a byte often enough never to be silent. */
  async function drip(client: FrameClient) {
    const timer = setInterval(() => client.write(dataFrame(1, Buffer.from("a"))), 10);
    await client.closed;
    clearInterval(timer);
  }

  it("is reset when its time is over, whatever handles it", async () => {
    const listener = await open({ limits: slow });
    const client = await frameClient(listener);
    client.write(headersFrame(1, post));
    const dripping = drip(client);
    expect(await client.next("reset")).toMatchObject({ stream: 1, code: NGHTTP2_CANCEL });
    client.socket.destroy();
    await dripping;
    expect(cutsOf(listener)).toEqual({ slow_request: 1 });
  });

  it("may go on where the answer has begun", async () => {
    const handler: ListenerHandler = (req, res) => {
      (res as { write(chunk: string): unknown }).write("begun");
      let count = 0;
      req.on("data", (chunk: Buffer) => {
        count += chunk.length;
        // Pieces may come together.
        if (count >= 60 && !res.writableEnded) res.end();
      });
    };
    const client = await frameClient(await open({ handler, limits: slow }));
    client.write(headersFrame(1, post));
    const dripping = drip(client);
    expect(await client.next("headers")).toMatchObject({ stream: 1 });
    const frames = [await client.next("data"), await client.next("data")];
    expect(frames.map(({ flags }) => flags)).toEqual([0, 1]);
    client.socket.destroy();
    await dripping;
  });
});

describe.each([
  { name: "plaintext", options: {} },
  { name: "TLS", options: { tls } },
])("a client that never reads, $name", ({ options }) => {
  // More than the system's buffers hold.
  const large = "x".repeat(32_000_000);
  const large1 = "GET /large HTTP/1.1\r\nHost: h\r\n\r\n";
  /** Resolves when the first of the large answers is over, one way or the other. */
  function largeHandler() {
    let wake = () => {};
    const over = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const handler: ListenerHandler = (req, res) => {
      if (req.url !== "/large") return answer(res, "ok");
      ("stream" in req ? req.stream : res).on("close", wake);
      answer(res, large);
    };
    return { handler, over };
  }
  const limits = { writeTimeoutMs: 150 };

  it("loses its HTTP/1.1 connection", async () => {
    const { handler, over } = largeHandler();
    const listener = await open({ ...options, handler, limits });
    const stop = callMeanwhile(listener);
    const client = await rawClient(listener);
    client.socket.pause();
    client.socket.write(large1);
    await over;
    await stop();
    expect(cutsOf(listener)).toEqual({ not_read: 1 });
  });

  it("loses its HTTP/2 connection", async () => {
    const { handler, over } = largeHandler();
    const listener = await open({ ...options, handler, limits });
    const stop = callMeanwhile(listener);
    const client = await frameClient(listener, { settings: settingsFrame([[initialWindowSetting, 2 ** 31 - 1]]) });
    await client.next("settings");
    client.socket.pause();
    client.write(windowUpdateFrame(0, 2 ** 31 - 1 - 65_535));
    client.write(headersFrame(1, { ...request, ":path": "/large" }, true));
    await over;
    await stop();
    // The stream may be seen before its connection.
    expect(cutsOf(listener)).toEqual({ not_read: expect.any(Number) });
  });

  it("loses the HTTP/2 streams that its flow control holds, and no other", async () => {
    const { handler, over } = largeHandler();
    const listener = await open({ ...options, handler, limits });
    const client = await frameClient(listener, { settings: settingsFrame([[initialWindowSetting, 0]]) });
    client.write(headersFrame(1, { ...request, ":path": "/large" }, true));
    expect(await client.next("reset")).toMatchObject({ stream: 1, code: NGHTTP2_ENHANCE_YOUR_CALM });
    await over;
    client.write(headersFrame(3, request, true));
    client.write(windowUpdateFrame(3, 100));
    await client.next("data");
    expect(cutsOf(listener)).toEqual({ not_read: 1 });
  });

  it("loses nothing while it reads, slowly", async () => {
    stopClock();
    const { handler } = largeHandler();
    const listener = await open({ ...options, handler, limits: { writeTimeoutMs: 1_000 } });
    const { socket, closed } = await rawClient(listener, large1);
    const stream = session2(listener).request({ ":path": "/large" });
    const received = { first: 0, second: 0 };
    socket.on("data", (chunk: Buffer) => {
      received.first += chunk.length;
    });
    stream.on("data", (chunk: Buffer) => {
      received.second += chunk.length;
    });
    // Stops for less than the time again and again, and for longer in all.
    for (let turn = 1; turn <= 9; turn += 1) {
      for (const one of [socket, stream]) one.pause();
      vi.advanceTimersByTime(300);
      for (const one of [socket, stream]) one.resume();
      while (received.first < turn * 2_000_000) await once(socket, "data");
      while (received.second < turn * 200_000) await once(stream, "data");
    }
    vi.useRealTimers();
    await new Promise((resolve) => (stream.closed ? resolve(undefined) : stream.once("close", resolve)));
    expect(received.second).toBe(large.length);
    while (received.first < large.length && !socket.closed) await Promise.race([once(socket, "data"), closed]);
    expect(received.first).toBeGreaterThan(large.length);
    expect(cutsOf(listener)).toEqual({});
  });

  it("loses nothing where no bytes wait, however long the server is silent", async () => {
    stopClock();
    const held: ListenerResponse[] = [];
    const handler: ListenerHandler = (_req, res) => {
      (res as { write(chunk: string): unknown }).write("begun");
      held.push(res);
    };
    const listener = await open({ ...options, handler, limits: { writeTimeoutMs: 40 } });
    const client = await rawClient(listener, large1);
    const stream = session2(listener).request({ ":path": "/" });
    await Promise.all([client.until(/begun/), once(stream, "data")]);
    // Several times what a client has that does not read.
    vi.advanceTimersByTime(400);
    vi.useRealTimers();
    for (const res of held) res.end();
    await Promise.all([client.until(/0\r\n\r\n$/), once(stream, "end")]);
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });
});

it("reads the rest of an HTTP/1.1 request that was answered for a while, and no longer", async () => {
  const listener = await open({ handler: (_req, res) => answer(res, "{}", 413) });
  const client = await rawClient(listener, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n");
  const timer = setInterval(() => client.socket.write("a".repeat(1_000)), 5);
  expect(await client.until(/\{\}$/)).toMatch(/^HTTP\/1\.1 413 /);
  // A request has two minutes, longer than this test.
  await client.closed;
  clearInterval(timer);
});

it("serves others while thousands of connections idle, and ends those", async () => {
  const count = 2_000;
  const limits = { firstBytesTimeoutMs: 1_000, headersTimeoutMs: 1_000, http2IdleTimeoutMs: 1_000 };
  const listener = await open({ handler: echo, limits });
  const starts = ["", "G", "GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
  const sockets: Socket[] = [];
  const closed: Promise<void>[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const socket = connect(listener.port, "127.0.0.1");
    sockets.push(socket);
    socket.on("error", () => {});
    socket.resume();
    closed.push(new Promise((resolve) => socket.once("close", () => resolve())));
    socket.write(starts[turn % starts.length] ?? "");
    if (turn % 100 === 0) await once(socket, "connect");
  }
  const stop = callMeanwhile(listener);
  await Promise.all(closed);
  await stop();
  expect(cutsOf(listener)).toEqual({ silent: count / 2, slow_request: count / 2 });
});

it("a connection outlives large answers that are cancelled, more than Node would keep for it", async () => {
  const handler: ListenerHandler = (req, res) => answer(res, req.url === "/large" ? "x".repeat(1_000_000) : "ok");
  const session = session2(await open({ handler }));
  for (let turn = 0; turn < 20; turn += 1) {
    const stream = session.request({ ":path": "/large" });
    await once(stream, "response");
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.close(NGHTTP2_CANCEL);
    await closed;
  }
  expect((await call2(session, { ":path": "/" })).body).toBe("ok");
});

it("requests that are reset with the same bytes that bring them are served no more than a few at a time", async () => {
  let served = 0;
  const handler: ListenerHandler = (_req, res) => {
    served += 1;
    answer(res, "ok");
  };
  const listener = await open({ handler });
  const client = await frameClient(listener);
  await client.next("settings");
  const pairs = Array.from({ length: 200 }, (_, turn) => [
    headersFrame(streamOf(turn), request, true),
    resetFrame(streamOf(turn), NGHTTP2_CANCEL),
  ]);
  client.write(Buffer.concat(pairs.flat()));
  client.write(headersFrame(streamOf(200), request, true));
  // In order: when this one is answered, those before it were begun or never will be.
  expect(await client.next("headers")).toMatchObject({ stream: streamOf(200) });
  // The system may cut the bytes once or twice.
  expect(served).toBeLessThan(150);
});

it("hundreds of calls at once are all served", async () => {
  const session = session2(await open());
  const calls = Array.from({ length: 250 }, (_, turn) =>
    call2(session, { ":method": "POST", ":path": `/${turn}` }, "abc"),
  );
  const answers = await Promise.all(calls);
  expect(answers.map(({ body }) => JSON.parse(body))).toEqual(
    answers.map((_, turn) => expect.objectContaining({ url: `/${turn}`, body: "abc" })),
  );
});
