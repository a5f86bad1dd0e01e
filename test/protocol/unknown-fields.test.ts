// What a message does not have: `ignoreUnknown` is decided for each RPC and counts for REST; JSON of the other protocols refuses it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDispatch } from "../../src/rpc/dispatch.ts";
import type { DispatchOptions } from "../../src/rpc/dispatch-options.ts";
import { type Listener, openListener } from "../../src/rpc/listener/listener.ts";
import { createRpcTable } from "../../src/rpc/rpc-table.ts";
import { EchoService } from "../fixtures/gen/portcullis/test/v1/echo_pb.ts";
import { DocumentService } from "../fixtures/gen/portcullis/test/v1/headers_pb.ts";
import { paths } from "../fixtures/server.ts";
import { expectStatus } from "../fixtures/sturdy.ts";
import { type Exchange, exchange, frame, outcomeOf } from "../fixtures/wire.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;
const json = { "content-type": "application/json" };

const table = createRpcTable((router) => {
  router.service(EchoService, {
    say: ({ room, text }) => ({ room, text }),
    typed: (received) => ({ received }),
    getRoom: ({ room }) => ({ room }),
    async *count() {
      yield { number: 1 };
    },
  });
  router.service(DocumentService, {
    updateDocument: (received) => ({ received }),
    resetDocument: (received) => ({ received }),
    async *watchDocuments(received) {
      yield { received };
    },
  });
});

const serve = (options: DispatchOptions): Promise<Listener> =>
  openListener({ host: "127.0.0.1", port: 0, handler: createDispatch(table, options) });

describe("ignoreUnknown as a function", () => {
  const asked: string[] = [];
  let server: Listener;
  beforeAll(async () => {
    server = await serve({
      ignoreUnknown({ parent, name }) {
        asked.push(`${parent.name}.${name}`);
        return parent.typeName === EchoService.typeName || name === "ResetDocument";
      },
    });
  });
  afterAll(() => server.close({ graceMs: 0 }));

  it.each(versions)("is obeyed for each RPC over HTTP/$version", async ({ version }) => {
    const ask = (request: Exchange) => exchange(server.url, { version, ...request });
    const body = '{"nope":1}';
    const ignored: readonly Exchange[] = [
      { path: "/test/v1/rooms/a/say", headers: json, body },
      { method: "GET", path: "/test/v1/rooms/a?nope=1" },
      { path: "/h/v1/documents/1:reset", headers: json, body },
    ];
    for (const request of ignored) expect((await ask(request)).status).toBe(200);
    const refused: readonly Exchange[] = [
      { method: "PATCH", path: "/h/v1/documents/1", headers: json, body },
      { method: "GET", path: "/h/v1/documents:watch?nope=1" },
      { path: "/h/v1/documents:watch", headers: json, body },
    ];
    for (const request of refused) {
      const text = expectStatus(await ask(request), { http: 400, code: 3 });
      expect(text).toContain("nope");
    }
  });

  it("is asked once for each RPC, at start", () => {
    const names = [EchoService, DocumentService].flatMap(({ name, methods }) =>
      methods.map((method) => `${name}.${method.name}`),
    );
    expect(asked.toSorted()).toEqual(names.toSorted());
  });

  it("stops the start where it throws", () => {
    const attempt = () =>
      createDispatch(table, {
        ignoreUnknown({ name }) {
          throw new Error(`no row for ${name}`);
        },
      });
    expect(attempt).toThrow("no row for Say");
  });
});

const say = "/portcullis.test.v1.EchoService/Say";
const count = "/portcullis.test.v1.EchoService/Count";

/** Calls whose message is this text. */
function callsWith(text: string): readonly (Exchange & { readonly form: string })[] {
  const framed = (type: string, path: string) => ({
    path,
    headers: { "content-type": type, te: "trailers" },
    body: frame(Buffer.from(text)),
  });
  const query = `connect=v1&encoding=json&message=${encodeURIComponent(text)}`;
  const anyVersion = [
    { form: "Connect", path: say, headers: json, body: text },
    { form: "Connect by GET", method: "GET", path: `/portcullis.test.v1.EchoService/Typed?${query}` },
    { form: "a stream of Connect", ...framed("application/connect+json", count) },
    { form: "gRPC-Web", ...framed("application/grpc-web+json", say) },
    { form: "a stream of gRPC-Web", ...framed("application/grpc-web+json", count) },
  ];
  return [
    ...versions.flatMap(({ version }) => anyVersion.map((call) => ({ version, ...call }))),
    { form: "gRPC", version: 2, ...framed("application/grpc+json", say) },
    { form: "a stream of gRPC", version: 2, ...framed("application/grpc+json", count) },
  ];
}

const known = callsWith("{}");
const calls = callsWith('{"nope":1}').map((call, index) => ({ ...call, known: known[index] }));

describe.each(paths)("JSON with an unknown field, on the $path path", ({ stockHandlers }) => {
  let server: Listener;
  beforeAll(async () => {
    // That it ignores unknown fields over REST must not matter.
    server = await serve({ stockHandlers, ignoreUnknown: true });
  });
  afterAll(() => server.close({ graceMs: 0 }));

  it.each(calls)("is refused by $form over HTTP/$version", async ({ form: _, known, ...request }) => {
    expect(outcomeOf(await exchange(server.url, request)).code).toBe(3);
    if (known) expect(outcomeOf(await exchange(server.url, known)).code).toBe(0);
  });
});
