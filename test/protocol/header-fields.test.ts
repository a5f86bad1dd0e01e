// Fields that are headers over REST (the option portcullis.rpc.v1.rest_headers), and stay fields on the other protocols.
import { create, type DescMethod, fromBinary, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import type { DispatchOptions } from "../../src/rpc/dispatch-options.ts";
import { openListener } from "../../src/rpc/listener/listener.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { DocumentService } from "../fixtures/gen/portcullis/test/v1/headers_pb.ts";
import { paths } from "../fixtures/server.ts";
import { expectStatus } from "../fixtures/sturdy.ts";
import { type Exchange, exchange, frame, framesOf, outcomeOf } from "../fixtures/wire.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;
const json = { "content-type": "application/json" };
const sse = { accept: "text/event-stream" };

const table = createRpcTable((router) =>
  router.service(DocumentService, {
    getDocument: ({ name, etag }) => ({ name, title: "x".repeat(2000), etag }),
    updateDocument: (received) => ({ received }),
    resetDocument: (received) => ({ received }),
    getText: ({ name, etag }) => ({ file: { contentType: "text/plain", data: Buffer.from(name) }, etag }),
    async *watchDocuments(received) {
      yield { received };
      for (const id of received.ids) yield { place: { id } };
    },
  }),
);

async function start(options: DispatchOptions = {}) {
  const failures: unknown[] = [];
  const handler = createDispatch(table, { ...options, onFailure: (reason) => failures.push(reason) });
  return { ...(await openListener({ host: "127.0.0.1", port: 0, handler })), failures };
}

let server: Awaited<ReturnType<typeof start>>;
beforeAll(async () => {
  server = await start();
});
afterAll(() => server.close({ graceMs: 0 }));

const ask = (request: Exchange) => exchange(server.url, request);
const document = (etag: string) => `/h/v1/documents/1?etag=${encodeURIComponent(etag)}`;

describe.each(versions)("an etag field over HTTP/$version", ({ version }) => {
  const get = (path: string, headers: Exchange["headers"] = {}, method = "GET") =>
    ask({ version, method, path, headers });

  it("is the ETag of the answer", async () => {
    const { status, headers, body } = await get(document('"v1"'));
    expect([status, headers.etag, headers["cache-control"]]).toEqual([200, '"v1"', "private, no-cache"]);
    expect(JSON.parse(body.toString())).toMatchObject({ name: "documents/1", etag: '"v1"' });
  });

  it("is the same for HEAD, and for an answer that is compressed", async () => {
    const head = await get(document('"v1"'), {}, "HEAD");
    expect([head.status, head.headers.etag, head.body.length]).toEqual([200, '"v1"', 0]);
    const { headers } = await get(document('"v1"'), { "accept-encoding": "gzip" });
    expect([headers.etag, headers["content-encoding"]]).toEqual(['"v1"', "gzip"]);
  });

  it.each(['"v1"', 'W/"v1"', '"v0", "v1"', "*"])("answers If-None-Match: %s with 304", async (held) => {
    for (const method of ["GET", "HEAD"]) {
      const { status, headers, body } = await get(document('"v1"'), { "if-none-match": held }, method);
      expect([status, headers.etag, headers["cache-control"], body.length]).toEqual([
        304,
        '"v1"',
        "private, no-cache",
        0,
      ]);
    }
  });

  it("answers in full where another one is held", async () => {
    const { status, headers } = await get(document('"v2"'), { "if-none-match": '"v1"' });
    expect([status, headers.etag]).toEqual([200, '"v2"']);
  });

  it("makes no ETag where it is empty", async () => {
    const { status, headers } = await get(document(""), { "if-none-match": "*" });
    expect([status, headers.etag, headers["cache-control"]]).toEqual([200, undefined, "no-store"]);
  });

  it("is the ETag of a file, too", async () => {
    const path = `/h/v1/documents/1:text?etag=${encodeURIComponent('"t"')}`;
    const { headers, body } = await get(path);
    expect([headers.etag, headers["content-type"], body.toString()]).toEqual(['"t"', "text/plain", "documents/1"]);
    expect((await get(path, { "if-none-match": '"t"' })).status).toBe(304);
  });

  it("that holds no etag is a failure of the server", async () => {
    expectStatus(await get(document("v1")), { http: 500, code: 13 });
    expect(server.failures.splice(0)).toEqual([
      new Error("the field portcullis.test.v1.Document.etag holds no etag in double quotes"),
    ]);
  });

  it("goes before the ETag that the option etags makes", async () => {
    const other = await start({ etags: true });
    try {
      const request = { version, method: "GET" };
      expect((await exchange(other.url, { ...request, path: document('"v1"') })).headers.etag).toBe('"v1"');
      expect((await exchange(other.url, { ...request, path: document("") })).headers.etag).toMatch(/^W\/"/);
    } finally {
      await other.close({ graceMs: 0 });
    }
  });
});

describe.each(versions)("If-Match over HTTP/$version", ({ version }) => {
  const update = (body: string, header?: string) =>
    ask({
      version,
      method: "PATCH",
      path: "/h/v1/documents/1",
      headers: { ...json, ...(header !== undefined && { "if-match": header }) },
      body,
    });

  it("sets a field behind the body's, and the answer is not kept", async () => {
    const { status, headers, body } = await update('{"title":"a"}', '"v1"');
    expect(JSON.parse(body.toString())).toEqual({
      received: { document: { name: "documents/1", title: "a", etag: '"v1"' } },
    });
    expect([status, headers.etag, headers["cache-control"]]).toEqual([200, '"v1"', "no-store"]);
    expect((await update("{}", 'W/"v1"')).headers.etag).toBe('W/"v1"');
    expect((await update('{"etag":"\\"v1\\""}', '"v1"')).headers.etag).toBe('"v1"');
  });

  it("sets a field whose message the request leaves out", async () => {
    const { body } = await ask({ version, path: "/h/v1/documents:touch", headers: { "if-match": '"v1"' } });
    expect(JSON.parse(body.toString())).toEqual({ received: { document: { name: "", title: "", etag: '"v1"' } } });
  });

  it("sets nothing as *", async () => {
    const { body } = await update("{}", "*");
    expect(JSON.parse(body.toString())).toEqual({ received: { document: { name: "documents/1", title: "" } } });
  });

  it("is refused beside a field with another value", async () => {
    const text = expectStatus(await update('{"etag":"\\"v2\\""}', '"v1"'), {
      http: 400,
      code: 3,
      field: "document.etag",
    });
    expect(text).toBe("invalid parameter document.etag: the header If-Match has another value: send one of them");
  });

  it.each(['"v1", "v2"', "v1", ""])("is refused as %j", async (header) => {
    const text = expectStatus(await update("{}", header), { http: 400, code: 3, field: "if-match" });
    expect(text).toBe("invalid header if-match: send one etag, in its double quotes, or *");
  });

  it("works with body: *", async () => {
    const path = "/h/v1/documents/1:reset";
    const { headers, body } = await ask({ version, path, headers: { ...json, "if-match": '"v1"' }, body: "{}" });
    expect(JSON.parse(body.toString())).toEqual({ received: { name: "documents/1", etag: '"v1"' } });
    expect(headers.etag).toBe(undefined);
  });
});

describe.each(versions)("the ids of events over HTTP/$version", ({ version }) => {
  const path = "/h/v1/documents:watch";
  const first = (resumeToken: string, ids: readonly string[] = []) =>
    `data: ${JSON.stringify({ received: { resumeToken, ids } })}\n\n`;
  const event = (id: string, line: string) => `${line}data: ${JSON.stringify({ place: { id } })}\n\n`;
  const end = "event: end\ndata:\n\n";

  it("come before the data, where there are any", async () => {
    const { headers, body } = await ask({
      version,
      method: "GET",
      path: `${path}?ids=7&ids=&ids=%20%C3%A9`,
      headers: sse,
    });
    expect(body.toString()).toBe(
      first("", ["7", "", " é"]) + event("7", "id: 7\n") + event("", "") + event(" é", "id:  é\n") + end,
    );
    expect(headers["x-accel-buffering"]).toBe("no");
  });

  it("are in no other form", async () => {
    for (const accept of ["application/x-ndjson", "application/json"]) {
      const { headers, body } = await ask({ version, method: "GET", path: `${path}?ids=7%0A`, headers: { accept } });
      expect(body.toString()).not.toContain("id:");
      expect(body.toString()).toContain('{"place":{"id":"7\\n"}}');
      expect(headers["x-accel-buffering"]).toBe("no");
    }
  });

  it.each(["7\n", "7\r8", "7\0"])("that hold %j are a failure of the server", async (id) => {
    const { body } = await ask({ version, path, headers: { ...json, ...sse }, body: JSON.stringify({ ids: [id] }) });
    expect(body.toString()).toBe(
      `${first("", [id])}event: error\ndata: {"code":13,"message":"internal error","details":[]}\n\n`,
    );
    expect(server.failures.splice(0)).toEqual([new Error("the id of an event holds a line break or NUL")]);
  });

  it("come back as Last-Event-ID, which wins over the field", async () => {
    const headers = { ...sse, "last-event-id": "7" };
    const query = await ask({ version, method: "GET", path: `${path}?resumeToken=6`, headers });
    expect(query.body.toString()).toBe(first("7") + end);
    const body = await ask({ version, path, headers: { ...json, ...headers }, body: '{"resumeToken":"6"}' });
    expect(body.body.toString()).toBe(first("7") + end);
  });

  it("come back in UTF-8", async () => {
    const headers = { ...sse, "last-event-id": Buffer.from("é✓").toString("latin1") };
    const { body } = await ask({ version, method: "GET", path, headers });
    expect(body.toString()).toBe(first("é✓") + end);
    const reply = await ask({ version, method: "GET", path, headers: { ...sse, "last-event-id": "\xff" } });
    expectStatus(reply, { http: 400, code: 3, field: "last-event-id" });
  });
});

const framings = [
  { form: "gRPC", version: 2, type: "application/grpc", stream: "application/grpc" },
  { form: "gRPC with JSON", version: 2, type: "application/grpc+json", stream: "application/grpc+json" },
  { form: "gRPC-Web", version: 1, type: "application/grpc-web", stream: "application/grpc-web" },
  { form: "gRPC-Web with JSON", version: 2, type: "application/grpc-web+json", stream: "application/grpc-web+json" },
  { form: "Connect", version: 1, type: "application/proto", stream: "application/connect+proto" },
  { form: "Connect with JSON", version: 2, type: "application/json", stream: "application/connect+json" },
] as const;

describe.each(paths.flatMap((path) => framings.map((framing) => ({ ...path, ...framing }))))(
  "fields over $form, on the $path path",
  ({ stockHandlers, version, type, stream }) => {
    let other: Awaited<ReturnType<typeof start>>;
    beforeAll(async () => {
      other = await start({ stockHandlers });
    });
    afterAll(() => other.close({ graceMs: 0 }));

    /** A call with the headers that REST reads, and its first answer. */
    async function call(rpc: DescMethod, request: object) {
      const isStream = rpc.methodKind !== "unary";
      const contentType = isStream ? stream : type;
      const isJson = contentType.endsWith("json");
      const message = create(rpc.input, request as never);
      const bytes = isJson ? Buffer.from(JSON.stringify(toJson(rpc.input, message))) : toBinary(rpc.input, message);
      const isFramed = isStream || contentType.includes("grpc");
      const reply = await exchange(other.url, {
        version,
        path: `/${rpc.parent.typeName}/${rpc.name}`,
        headers: {
          "content-type": contentType,
          "if-match": '"header"',
          "if-none-match": "*",
          "last-event-id": "header",
          ...(version === 2 && { te: "trailers" }),
        },
        body: isFramed ? frame(bytes) : bytes,
      });
      expect(outcomeOf(reply).code).toBe(0);
      const data = isFramed ? (framesOf(reply.body)[0]?.data ?? Buffer.of()) : reply.body;
      const answer = isJson ? JSON.parse(data.toString()) : toJson(rpc.output, fromBinary(rpc.output, data) as Message);
      return { headers: reply.headers, answer };
    }

    it("are left alone by headers, and no headers of the answer", async () => {
      const { updateDocument, resetDocument, getDocument } = DocumentService.method;
      const updated = await call(updateDocument, { document: { etag: '"field"' } });
      expect(updated.answer).toMatchObject({ received: { document: { etag: '"field"' } } });
      const reset = await call(resetDocument, { name: "documents/1" });
      expect(reset.answer.received.etag || "").toBe("");
      const got = await call(getDocument, { etag: '"field"' });
      expect(got.answer.etag).toBe('"field"');
      for (const { headers } of [updated, reset, got]) expect(headers).not.toHaveProperty("etag");
    });

    it("are left alone in a stream, which no proxy holds back", async () => {
      const { headers, answer } = await call(DocumentService.method.watchDocuments, { resumeToken: "field" });
      expect(answer.received.resumeToken).toBe("field");
      // nginx does not buffer gRPC.
      const isGrpc = stream.startsWith("application/grpc") && !stream.startsWith("application/grpc-web");
      expect(headers["x-accel-buffering"]).toBe(isGrpc ? undefined : "no");
    });
  },
);
