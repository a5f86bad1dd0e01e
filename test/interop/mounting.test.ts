// The programs of examples/mounting: a dispatch among routes of one's own, in servers that are not our listener.
import { promisify } from "node:util";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { Client, credentials, type requestCallback } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Book, LibraryService } from "../../examples/own-service/gen/library_pb.ts";
import { exchange } from "../fixtures/wire.ts";
import { type ExampleServer, startExample } from "./example-server.ts";

const json = { "content-type": "application/json" };

describe.each([
  { file: "node-http.ts", version: 1, after: { method: "GET", says: "after\n" } },
  { file: "node-http2.ts", version: 2, after: { method: "GET", says: "after\n" } },
  { file: "express.ts", version: 1, after: { method: "POST", body: '{"text":"all"}', says: "after all\n" } },
  { file: "fastify.ts", version: 1, after: { method: "POST", body: '{"text":"all"}', says: "after all\n" } },
] as const)("examples/mounting/$file", ({ file, version, after: { says, ...after } }) => {
  let server: ExampleServer;
  const send = async (path: string, request: { method?: string; body?: string } = {}) => {
    const { status, body } = await exchange(server.url, {
      version,
      path,
      method: request.body === undefined ? "GET" : "POST",
      ...(request.body !== undefined && { headers: json }),
      ...request,
    });
    return [status, body.toString()];
  };

  beforeAll(async () => {
    server = await startExample(`mounting/${file}`);
  });
  afterAll(async () => {
    await server.close();
    expect(server.errors()).toBe("");
  });

  it("serves its own routes before and after, and says itself what is not there", async () => {
    expect(await send("/before")).toEqual([200, "before\n"]);
    expect(await send("/after", after)).toEqual([200, says]);
    expect(await send("/v1/nope")).toEqual([404, "nothing here\n"]);
    // Neither a name nor a framing makes a call of what no service has.
    expect(await send("/other.v1.Service/Call", { body: "{}" })).toEqual([404, "nothing here\n"]);
  });

  it("serves REST, with what is wrong on a path of its rules", async () => {
    const added = { name: "shelves/rest/books/1", title: "Emma" };
    expect(await send("/v1/shelves/rest/books", { body: '{"title":"Emma"}' })).toEqual([200, JSON.stringify(added)]);
    expect(await send("/v1/shelves/rest/books/1")).toEqual([200, JSON.stringify(added)]);
    expect(await send("/v1/shelves/rest/books")).toEqual([200, `${JSON.stringify(added)}\n`]);
    expect(await send("/v1/shelves/rest/books", { method: "PUT", body: "{}" })).toEqual([
      405,
      '{"code":12,"message":"Method Not Allowed","details":[]}',
    ]);
  });

  it("serves Connect and gRPC-Web, calls and streams", async () => {
    const options = { baseUrl: server.url, httpVersion: version === 1 ? "1.1" : "2" } as const;
    for (const transport of [createConnectTransport(options), createGrpcWebTransport(options)]) {
      const client = createClient(LibraryService, transport);
      const { name } = await client.addBook({ shelf: "shelves/rpc", book: { title: "Persuasion" } });
      expect(await client.getBook({ name })).toMatchObject({ title: "Persuasion" });
      const titles: string[] = [];
      for await (const { title } of client.listBooks({ shelf: "shelves/rpc" })) titles.push(title);
      expect(titles).toContain("Persuasion");
      await expect(client.getBook({ name: "shelves/rpc/books/nope" })).rejects.toThrow("[not_found] there is no book");
    }
  });

  it("says which method a service lacks", async () => {
    expect(await send("/library.v1.LibraryService/Burn", { body: "{}" })).toEqual([
      404,
      '{"code":"unimplemented","message":"unknown method Burn of service library.v1.LibraryService: the service has no such method here"}',
    ]);
  });
});

describe.each(["node-http.ts", "express.ts", "fastify.ts"])("examples/mounting/%s", (file) => {
  it("answers a body that is too large where its client reads it, each time", async () => {
    const server = await startExample(`mounting/${file}`);
    const body = JSON.stringify({ title: "a".repeat(6_000_000) });
    try {
      for (let count = 0; count < 20; count += 1) {
        const answer = await fetch(`${server.url}/v1/shelves/1/books`, { method: "POST", headers: json, body });
        expect([answer.status, await answer.text()]).toEqual([413, expect.stringContaining("larger than")]);
      }
    } finally {
      await server.close();
    }
  });
});

describe("gRPC on node:http2", () => {
  let server: ExampleServer;
  let client: Client;
  beforeAll(async () => {
    server = await startExample("mounting/node-http2.ts");
    client = new Client(new URL(server.url).host, credentials.createInsecure());
  });
  afterAll(async () => {
    client.close();
    await server.close();
    expect(server.errors()).toBe("");
  });

  const { addBook, getBook, listBooks } = LibraryService.method;
  const pathOf = ({ name }: { readonly name: string }) => `/${LibraryService.typeName}/${name}`;
  const writer =
    <Desc extends DescMessage>(desc: Desc) =>
    (message: MessageShape<Desc>) =>
      Buffer.from(toBinary(desc, message));
  const reader =
    <Desc extends DescMessage>(desc: Desc) =>
    (bytes: Buffer) =>
      fromBinary(desc, bytes);

  function add(title: string): Promise<Book | undefined> {
    const call = (done: requestCallback<Book>) =>
      client.makeUnaryRequest(
        pathOf(addBook),
        writer(addBook.input),
        reader(addBook.output),
        create(addBook.input, { shelf: "shelves/grpc", book: { title } }),
        done,
      );
    return promisify(call)();
  }

  it("serves calls, small and large, with status and sentence in the trailers", async () => {
    expect(await add("Emma")).toMatchObject({ title: "Emma" });
    const long = "x".repeat(1_000_000);
    expect((await add(long))?.title).toBe(long);
    const missing = (done: requestCallback<Book>) =>
      client.makeUnaryRequest(
        pathOf(getBook),
        writer(getBook.input),
        reader(getBook.output),
        create(getBook.input, { name: "nope" }),
        done,
      );
    await expect(promisify(missing)()).rejects.toMatchObject({ code: 5, details: "there is no book nope" });
  });

  it("serves streams, also to a client that does not wait for their end", async () => {
    await add("one");
    await add("two");
    const open = () =>
      client.makeServerStreamRequest(
        pathOf(listBooks),
        writer(listBooks.input),
        reader(listBooks.output),
        create(listBooks.input, { shelf: "shelves/grpc" }),
      );
    const titles: string[] = [];
    for await (const { title } of open()) titles.push(title);
    expect(titles.slice(-2)).toEqual(["one", "two"]);
    for (let count = 0; count < 20; count += 1) {
      const stream = open().on("error", () => {});
      stream.cancel();
    }
    expect(await add("three")).toMatchObject({ title: "three" });
  });
});
