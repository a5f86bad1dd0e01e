import { once } from "node:events";
import { constants } from "node:http2";
import { setImmediate as turn } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { CountedSchema, NumbersRequestSchema } from "../fixtures/gen/portcullis/test/v1/transcoding_pb.ts";
import { expectStatus } from "../fixtures/sturdy.ts";
import { type NumbersCall, openTranscoding, type TranscodingServer } from "../fixtures/transcoding.ts";
import { type Exchange, exchange, frame, framesOf, type Reply } from "../fixtures/wire.ts";
import { rawClient, session2 } from "./listener-clients.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;
const ndjson = "application/x-ndjson";
const sse = "text/event-stream";

async function ask(version: 1 | 2, path: string, accept?: string): Promise<Reply> {
  const server = await openTranscoding();
  const reply = await exchange(server.url, { version, method: "GET", path, ...(accept && { headers: { accept } }) });
  expect(server.failures).toEqual([]);
  return reply;
}

/** A stream that is read as it comes. */
interface Reading {
  /** What has come so far, without the framing of HTTP/1.1. */
  text(): string;
  /** Resolves as soon as that matches. */
  until(pattern: RegExp): Promise<string>;
  /** Stops to read, and to take anything from the socket. */
  pause(): void;
  resume(): void;
  /** Leaves in the middle. */
  leave(): void;
  /** Resolves when it is over: whether it ended as it should, rather than broke off. */
  readonly over: Promise<boolean>;
  readonly status: () => number;
  readonly type: () => string;
}

async function read(
  server: TranscodingServer,
  version: 1 | 2,
  path: string,
  accept = "*/*",
  headers: Readonly<Record<string, string>> = {},
): Promise<Reading> {
  return version === 1 ? read1(server, path, { accept, ...headers }) : read2(server, path, { accept, ...headers });
}

async function read1(server: TranscodingServer, path: string, headers: Record<string, string>): Promise<Reading> {
  const lines = Object.entries({ host: "h", connection: "close", ...headers }).map(
    ([name, text]) => `${name}: ${text}`,
  );
  const client = await rawClient(server, `GET ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
  const parts = () => {
    const raw = client.text();
    const end = raw.indexOf("\r\n\r\n");
    const head = end === -1 ? "" : raw.slice(0, end);
    const body = end === -1 ? "" : raw.slice(end + 4);
    return {
      head,
      body: /transfer-encoding: chunked/i.test(head) ? dechunk(body) : { text: body, isWhole: end !== -1 },
    };
  };
  return {
    text: () => parts().body.text,
    async until(pattern) {
      while (!pattern.test(parts().body.text)) {
        if (client.socket.closed) throw new Error(`closed before ${pattern}: ${client.text()}`);
        await Promise.race([once(client.socket, "data"), client.closed]);
      }
      return parts().body.text;
    },
    pause: () => client.socket.pause(),
    resume: () => client.socket.resume(),
    leave: () => client.reset(),
    over: client.closed.then(() => parts().body.isWhole),
    status: () => Number(parts().head.split(" ")[1]),
    type: () => /^content-type: (.*)$/im.exec(parts().head)?.[1] ?? "",
  };
}

function dechunk(body: string): { text: string; isWhole: boolean } {
  let text = "";
  for (let at = 0; ; ) {
    const line = body.indexOf("\r\n", at);
    if (line === -1) return { text, isWhole: false };
    const size = Number.parseInt(body.slice(at, line), 16);
    if (size === 0) return { text, isWhole: true };
    text += body.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}

async function read2(server: TranscodingServer, path: string, headers: Record<string, string>): Promise<Reading> {
  const stream = session2(server).request({ ":path": path, ...headers });
  let text = "";
  let status = 0;
  let type = "";
  let isWhole = true;
  stream.on("response", (headers) => {
    status = headers[":status"] ?? 0;
    type = headers["content-type"] ?? "";
  });
  stream.on("error", () => {
    isWhole = false;
  });
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  let isOver = false;
  const over = new Promise<boolean>((resolve) => {
    stream.once("close", () => {
      isOver = true;
      resolve(isWhole && stream.rstCode === 0);
    });
  });
  return {
    text: () => text,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (isOver) throw new Error(`closed before ${pattern}: ${text}`);
        await Promise.race([once(stream, "data"), over]);
      }
      return text;
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    leave: () => stream.close(8),
    over,
    status: () => status,
    type: () => type,
  };
}

const line = (number: number, padding = "") => `{"number":${number},"padding":"${padding}","name":""}`;

/** A stream in each form: what messages, its end and an error in it look like. */
const forms: readonly {
  readonly accept: string;
  readonly empty: string;
  readonly three: string;
  /** The text before an error's status, after two messages; undefined: the form has no place for one. */
  readonly error?: string;
}[] = [
  {
    accept: ndjson,
    empty: "",
    three: `${line(1)}\n${line(2)}\n${line(3)}\n`,
    error: `${line(1)}\n${line(2)}\n{"error":`,
  },
  { accept: "application/json", empty: "[]", three: `[${line(1)},${line(2)},${line(3)}]` },
  {
    accept: sse,
    empty: "event: end\ndata:\n\n",
    three: `data: ${line(1)}\n\ndata: ${line(2)}\n\ndata: ${line(3)}\n\nevent: end\ndata:\n\n`,
    error: `data: ${line(1)}\n\ndata: ${line(2)}\n\nevent: error\ndata: `,
  },
];

const failure = {
  code: 9,
  message: "not like this: 100 % 'é'\n",
  details: [
    { "@type": "type.googleapis.com/google.rpc.Help", links: [{ description: "how", url: "https://help.example" }] },
  ],
};

describe.each(versions.flatMap(({ version }) => forms.map((form) => ({ version, ...form }))))(
  "a stream as $accept over HTTP/$version",
  ({ version, accept, empty, three, error }) => {
    it("brings each message, and its end", async () => {
      const reply = await ask(version, "/t/v1/count?to=3", accept);
      expect({ status: reply.status, type: reply.headers["content-type"], text: reply.body.toString() }).toEqual({
        status: 200,
        type: accept,
        text: three,
      });
      expect(reply.headers).toMatchObject({ "cache-control": "no-store", "x-accel-buffering": "no" });
      expect(reply.headers.vary).toMatch(/\baccept\b/i);
      expect(reply.headers).not.toHaveProperty("content-encoding");
    });
    it("may be empty", async () => {
      const reply = await ask(version, "/t/v1/count", accept);
      expect({ status: reply.status, type: reply.headers["content-type"], text: reply.body.toString() }).toEqual({
        status: 200,
        type: accept,
        text: empty,
      });
    });
    it("that fails before its first message is a status", async () => {
      const reply = await ask(version, "/t/v1/count?to=3&failsAfter=0", accept);
      expect(expectStatus(reply, { http: 400, code: 9 })).toBe(failure.message);
      expect(JSON.parse(reply.body.toString())).toEqual(failure);
      expect(reply.headers["x-metadata"]).toBe("told");
    });
    it("that fails after two messages says so, and never ends as if it were whole", async () => {
      const server = await openTranscoding();
      const reading = await read(server, version, "/t/v1/count?to=3&failsAfter=2", accept);
      const isWhole = await reading.over;
      if (error === undefined) {
        expect(isWhole).toBe(false);
        expect(reading.text()).not.toContain("]");
      } else {
        expect({ isWhole, status: reading.status() }).toEqual({ isWhole: true, status: 200 });
        const text = Buffer.from(reading.text(), version === 1 ? "latin1" : "utf8").toString();
        expect(text.startsWith(error)).toBe(true);
        const status = text.slice(error.length).trimEnd();
        expect(JSON.parse(accept === ndjson ? status.replace(/\}$/, "") : status)).toEqual(failure);
        expect(text).not.toContain("event: end");
      }
      expect(server.failures).toEqual([]);
    });
    it.each(["bug", "text"])("hides a failure that is none of its own (%s), and reports it once", async (how) => {
      const server = await openTranscoding();
      const reading = await read(server, version, `/t/v1/throw-late/${how}`, accept);
      await reading.over;
      expect(reading.text()).not.toContain("secret");
      if (error !== undefined) expect(reading.text()).toContain('{"code":13,"message":"internal error","details":[]}');
      expect(server.failures).toHaveLength(1);
    });
    it("comes to its end where an error cannot be told as JSON", async () => {
      const server = await openTranscoding();
      const reading = await read(server, version, "/t/v1/throw-late/foreign", accept);
      const isWhole = await reading.over;
      if (error === undefined) expect(isWhole).toBe(false);
      else expect(reading.text()).toContain('"code":10,"message":"with a foreign detail"');
    }, 5_000);
    it("has no headers before its first message", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?to=2&held=true", accept);
      const call = await began;
      for (let count = 0; count < 20; count += 1) await turn();
      expect({ status: reading.status() || 0, text: reading.text() }).toEqual({ status: 0, text: "" });
      call.release();
      await reading.until(/"number":1/);
      expect(reading.status()).toBe(200);
      reading.leave();
      await call.ended;
    });
    it("brings a message before the next is made", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?to=3&held=true", accept);
      const call = await began;
      for (const number of [1, 2, 3]) {
        expect(call.made).toBe(number - 1);
        call.release();
        await reading.until(new RegExp(`"number":${number}\\b`));
      }
      call.release();
      expect(await reading.over).toBe(true);
      expect(reading.text()).toBe(three);
    });
    it("waits for a reader that is slow", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?endless=true&padding=20000", accept);
      const call = await began;
      await reading.until(/"number":1\b/);
      reading.pause();
      const made = await settled(call);
      // What fits into the buffers of both ends: far less than an unread stream would take.
      expect(made).toBeLessThan(1_000);
      reading.resume();
      await reading.until(new RegExp(`"number":${made + 1}\\b`));
      reading.leave();
      await call.ended;
    });
    it("ends its handler when the client goes while it is read", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?endless=true&padding=100", accept);
      const call = await began;
      await reading.until(/"number":100\b/);
      reading.leave();
      await call.ended;
      expect(call.context.signal.aborted).toBe(true);
      expect(server.failures).toEqual([]);
    }, 10_000);
    it("ends its handler when a client goes that had stopped to read", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?endless=true&padding=20000", accept);
      const call = await began;
      await reading.until(/"number":1\b/);
      reading.pause();
      await settled(call);
      reading.leave();
      await call.ended;
      expect(server.failures).toEqual([]);
    }, 10_000);
    it("ends its handler when the client goes before the first message", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const reading = await read(server, version, "/t/v1/count?to=3&held=true", accept);
      const call = await began;
      reading.leave();
      await call.ended;
      expect(call).toMatchObject({ made: 0 });
      expect(call.context.signal.reason).toMatchObject({ code: Code.Canceled });
      expect(server.failures).toEqual([]);
    }, 10_000);
    it("whose gate still waits at its deadline is 504", async () => {
      const server = await openTranscoding({ gate: () => new Promise(() => {}) });
      const headers = { accept, "x-server-timeout": "0.05" };
      const reply = await exchange(server.url, { version, method: "GET", path: "/t/v1/count", headers });
      expectStatus(reply, { http: 504, code: 4 });
      expect(server.failures).toEqual([]);
    });

    it("that its deadline cuts off says so", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      // The handler notices that its time is over and stops without a word.
      const request: Exchange = {
        version,
        method: "GET",
        path: "/t/v1/count?endless=true&padding=1000",
        headers: { accept, "x-server-timeout": "0.05" },
      };
      const reply = exchange(server.url, request).catch((reason: unknown) => reason as Error);
      await (await began).ended;
      const got = await reply;
      // Cut off, an array is an error over HTTP/1.1, and a stream that was reset over HTTP/2.
      const text = got instanceof Error ? "" : got.body.toString();
      if (error === undefined) expect(text).not.toMatch(/\]$/);
      else expect(text.slice(-300)).toContain('"code":4');
    }, 10_000);
  },
);

describe.each(versions.flatMap(({ version }) => forms.map(({ accept }) => ({ version, accept }))))(
  "a stream as $accept over HTTP/$version that nobody reads",
  ({ version, accept }) => {
    it("ends its handler at the deadline, and is not whole", async () => {
      const server = await openTranscoding();
      const began = server.nextNumbers();
      const path = "/t/v1/count?endless=true&padding=20000";
      const reading = await read(server, version, path, accept, { "x-server-timeout": "0.3" });
      reading.pause();
      const call = await began;
      await call.ended;
      expect(call.context.signal.reason).toMatchObject({ code: Code.DeadlineExceeded });
      reading.resume();
      const isWhole = await reading.over;
      if (accept === "application/json") expect(isWhole).toBe(false);
      else expect(reading.text().slice(-300)).toContain('"code":4');
      expect(server.failures).toEqual([]);
    }, 10_000);
  },
);

/** What an array of messages is up to an error after so many. */
const arrayOf = (count: number, padding: number): string =>
  `[${Array.from({ length: count }, (_, index) => line(index + 1, "x".repeat(padding))).join(",")}`;

describe("an array over HTTP/1.1 that an error breaks off", () => {
  it("brings every message before it", async () => {
    const server = await openTranscoding();
    const reading = await read(server, 1, "/t/v1/count?to=9&failsAfter=3", "application/json");
    expect({ isWhole: await reading.over, text: reading.text() }).toEqual({ isWhole: false, text: arrayOf(3, 0) });
  });
  it("brings every message before it to a slow reader", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const path = "/t/v1/count?to=999&failsAfter=400&padding=50000";
    const reading = await read(server, 1, path, "application/json");
    reading.pause();
    const call = await began;
    expect(await settled(call)).toBeLessThan(400);
    reading.resume();
    const isWhole = await reading.over;
    expect({ isWhole, isAll: reading.text() === arrayOf(400, 50_000) }).toEqual({ isWhole: false, isAll: true });
  }, 20_000);
});

describe("an array over HTTP/2 that an error breaks off", () => {
  // More than the window, by less than what a stream takes without waiting: the handler fails while it is not sent.
  const window = 300_000;
  const path = "/t/v1/count?to=999&failsAfter=295&padding=1000";
  const all = arrayOf(295, 1_000);

  it("brings every message before it to a slow reader", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const reading = await readFrames(server, path, { window });
    await (await began).ended;
    await reading.until(() => reading.text().length === window);
    expect(all.length).toBeGreaterThan(window);
    reading.allow(1_000_000);
    expect(await reading.over).toEqual({ resetWith: constants.NGHTTP2_INTERNAL_ERROR, isEnded: false });
    expect(reading.text() === all).toBe(true);
    expect(server.failures).toEqual([]);
  }, 10_000);
  it("brings every message before it where they are few", async () => {
    const reading = await readFrames(await openTranscoding(), "/t/v1/count?to=9&failsAfter=3", { window });
    expect(await reading.over).toEqual({ resetWith: constants.NGHTTP2_INTERNAL_ERROR, isEnded: false });
    expect(reading.text()).toBe(arrayOf(3, 0));
  });
  it("waits for no reader longer than its deadline", async () => {
    const reading = await readFrames(await openTranscoding(), path, { window, headers: { "x-server-timeout": "0.3" } });
    expect(await reading.over).toEqual({ resetWith: constants.NGHTTP2_INTERNAL_ERROR, isEnded: false });
    expect(reading.text() === all.slice(0, window)).toBe(true);
  }, 10_000);
  it("waits for no reader that is gone", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const reading = await readFrames(server, path, { window });
    const call = await began;
    await reading.until(() => reading.text().length === window);
    reading.leave();
    await new Promise((resolve) => {
      if (call.context.signal.aborted) resolve(undefined);
      else call.context.signal.addEventListener("abort", resolve, { once: true });
    });
    expect(server.failures).toEqual([]);
  }, 10_000);
  it("breaks raw bytes off in the same way", async () => {
    const parts = Array.from({ length: 30 }, (_, index) => Buffer.alloc(1_000, 97 + (index % 26)));
    const body = Buffer.from(
      JSON.stringify({ contentType: "text/plain", parts: parts.map((part) => part.toString("base64")), fails: true }),
    );
    const reading = await readFrames(await openTranscoding(), "/t/v1/downloads", { window: 20_000, body });
    await reading.until(() => reading.text().length === 20_000);
    reading.allow(1_000_000);
    expect(await reading.over).toEqual({ resetWith: constants.NGHTTP2_INTERNAL_ERROR, isEnded: false });
    expect(reading.text() === Buffer.concat(parts).toString()).toBe(true);
  }, 10_000);
});

/** A stream of HTTP/2 frame by frame: no client of Node tells what came before a reset, nor waits with a window. */
interface Frames {
  /** The data so far. */
  text(): string;
  until(isSo: () => boolean): Promise<void>;
  /** Lets the server send so many bytes more. */
  allow(bytes: number): void;
  leave(): void;
  /** Resolves with how the stream was reset, and whether it had been ended before. */
  readonly over: Promise<{ readonly resetWith: number; readonly isEnded: boolean }>;
}

async function readFrames(
  server: TranscodingServer,
  path: string,
  { window, headers = {}, body }: { window: number; headers?: Readonly<Record<string, string>>; body?: Buffer },
): Promise<Frames> {
  const { socket, closed } = await rawClient(server);
  const frameOf = (type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  // HPACK, a literal with a new name: none of these is longer than 126 bytes.
  const field = (name: string, text: string): Buffer =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([text.length]), Buffer.from(text)]);
  const fields = Object.entries({
    ":method": body === undefined ? "GET" : "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "h",
    ...(body === undefined ? { accept: "application/json" } : { "content-type": "application/json" }),
    ...headers,
  });
  const initialWindowSize = Buffer.concat([Buffer.from([0, 4]), number(window)]);
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frameOf(4, 0, 0, initialWindowSize));
  socket.write(frameOf(8, 0, 0, number(100_000_000)));
  const isBodiless = body === undefined;
  socket.write(frameOf(1, isBodiless ? 5 : 4, 1, Buffer.concat(fields.map(([name, text]) => field(name, text)))));
  for (let at = 0; body !== undefined && at < body.length; at += 10_000) {
    socket.write(frameOf(0, at + 10_000 < body.length ? 0 : 1, 1, body.subarray(at, at + 10_000)));
  }

  let unread = Buffer.alloc(0);
  let isEnded = false;
  let text = "";
  const { promise: over, resolve } = Promise.withResolvers<{ resetWith: number; isEnded: boolean }>();
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
      const payload = unread.subarray(9, 9 + unread.readUIntBE(0, 3));
      const [type, flags, stream] = [unread.readUInt8(3), unread.readUInt8(4), unread.readUInt32BE(5)];
      unread = unread.subarray(9 + payload.length);
      if (stream !== 1) continue;
      if (type === 0) text += payload.toString("latin1");
      // DATA and HEADERS may end a stream.
      if (type <= 1 && flags & 1) isEnded = true;
      if (type === 3) resolve({ resetWith: payload.readUInt32BE(0), isEnded });
    }
  });
  return {
    text: () => text,
    async until(isSo) {
      while (!isSo()) {
        if (socket.closed) throw new Error(`closed after ${text.length} bytes`);
        await Promise.race([once(socket, "data"), closed]);
      }
    },
    allow: (bytes) => socket.write(frameOf(8, 0, 1, number(bytes))),
    leave: () => socket.destroy(),
    over,
  };
}

/** Resolves with the count of messages once no more are made, over many turns of the event loop. */
async function settled(call: NumbersCall): Promise<number> {
  let quiet = 0;
  for (let before = call.made; quiet < 300; before = call.made) {
    await turn();
    quiet = call.made === before ? quiet + 1 : 0;
  }
  return call.made;
}

describe.each(versions)("a stream over HTTP/$version", ({ version }) => {
  it.each([
    [undefined, ndjson],
    ["*/*", ndjson],
    ["application/*", ndjson],
    ["text/*", sse],
    ["application/json", "application/json"],
    [`${sse}, application/json`, "application/json"],
    [`${sse};q=0.9, application/json;q=0.8`, sse],
    [`application/json;q=0.5, ${sse};q=0.6, ${ndjson};q=0.4`, sse],
    [`${ndjson};q=0, */*`, "application/json"],
    ["text/html, */*;q=0.1", ndjson],
  ])("accepted as %s comes as %s", async (accept, want) => {
    expect((await ask(version, "/t/v1/count?to=1", accept)).headers["content-type"]).toBe(want);
  });
  it.each(["text/html", "application/xml", `${ndjson};q=0`, "*/*;q=0"])(
    "accepted as %s is refused with 406",
    async (accept) => {
      const message = expectStatus(await ask(version, "/t/v1/count?to=1", accept), { http: 406, code: 3 });
      for (const { accept: type } of forms) expect(message).toContain(type);
    },
  );
  it("may be of one field of each message", async () => {
    expect((await ask(version, "/t/v1/count/numbers?to=3", ndjson)).body.toString()).toBe("1\n2\n3\n");
    expect((await ask(version, "/t/v1/count/numbers?to=3", "application/json")).body.toString()).toBe("[1,2,3]");
  });
  it("takes its request from a body and a path", async () => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, {
      version,
      path: "/t/v1/counts/a%2Fb",
      headers: { "content-type": "application/json" },
      body: '{"to":1}',
    });
    expect(reply.body.toString()).toBe('{"number":1,"padding":"","name":"a/b"}\n');
  });
  it("with a request that does not fit is a status, and calls no handler", async () => {
    const server = await openTranscoding();
    const reply = await exchange(server.url, { version, method: "GET", path: "/t/v1/count?to=x" });
    expectStatus(reply, { http: 400, code: 3, field: "to" });
    expect(server.numbers).toHaveLength(0);
  });
  it("answers HEAD with the first message, without it, and asks for no other", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const path = "/t/v1/count?endless=true&held=true";
    const reply = exchange(server.url, { version, method: "HEAD", path, headers: { accept: ndjson } });
    const call = await began;
    call.release();
    expect(await reply).toMatchObject({ status: 200, headers: { "content-type": ndjson } });
    expect((await reply).body).toHaveLength(0);
    call.release();
    await call.ended;
    expect(call.made).toBe(1);
    expect(server.failures).toEqual([]);
  }, 5_000);
  it("answers HEAD of one that fails with its status", async () => {
    const reply = await exchange((await openTranscoding()).url, {
      version,
      method: "HEAD",
      path: "/t/v1/count?failsAfter=0&to=1",
    });
    expect(reply.status).toBe(400);
    expect(reply.body).toHaveLength(0);
  });
  it("in gRPC-Web takes what the path says, as REST does", async () => {
    const server = await openTranscoding();
    const message = toBinary(NumbersRequestSchema, create(NumbersRequestSchema, { to: 1, name: "body" }));
    const headers = { "content-type": "application/grpc-web+proto" };
    const reply = await exchange(server.url, { version, path: "/t/v1/counts/path", headers, body: frame(message) });
    const [first] = framesOf(reply.body);
    expect(fromBinary(CountedSchema, first?.data ?? new Uint8Array())).toMatchObject({ number: 1, name: "path" });
  });
  it("of many messages keeps their order", async () => {
    const text = (await ask(version, "/t/v1/count/numbers?to=5000", ndjson)).body.toString();
    expect(text).toBe(Array.from({ length: 5_000 }, (_, index) => `${index + 1}\n`).join(""));
  });
  it("lets other calls through", async () => {
    const server = await openTranscoding();
    const began = server.nextNumbers();
    const reading = await read(server, version, "/t/v1/count?endless=true&padding=10", ndjson);
    const call = await began;
    await reading.until(/"number":10\b/);
    const reply = await exchange(server.url, { version, method: "GET", path: "/t/v1/nothing" });
    expect(reply.status).toBe(200);
    reading.leave();
    await call.ended;
  }, 10_000);
});
