// Serves library.proto on gRPC, gRPC-Web, Connect and REST JSON: npm exec -- node examples/own-service/server.ts
// Where the package is installed, import from "portcullis/rpc" instead.
import { Code, ConnectError } from "@connectrpc/connect";
import * as portcullis from "@portcullis/rpc";
import { type Book, LibraryService } from "./gen/library_pb.ts";

const books = new Map<string, Pick<Book, "name" | "title">>();

const rpcs = portcullis.createRpcTable((router) => {
  router.service(LibraryService, {
    getBook({ name }) {
      const book = books.get(name);
      if (book === undefined) throw new ConnectError(`there is no book ${name}`, Code.NotFound);
      return book;
    },
    addBook({ shelf, book }) {
      const added = { name: `${shelf}/books/${books.size + 1}`, title: book?.title ?? "" };
      books.set(added.name, added);
      return added;
    },
    async *listBooks({ shelf, title }) {
      for (const book of books.values()) {
        if (book.name.startsWith(`${shelf}/`) && book.title.includes(title)) yield book;
      }
    },
  });
});

const dispatch = portcullis.createDispatch(rpcs, {
  // Runs before the body of a request is read, the same on every protocol.
  gate(context) {
    if (context.requestHeader.get("authorization") === "Bearer secret") return;
    throw new ConnectError("say the secret", Code.Unauthenticated);
  },
  reservedPaths: portcullis.openApiPaths,
  // Named as the answer is, by its header x-request-id.
  onFailure: (reason, call) => console.error(portcullis.requestIdOf(call), reason),
});

const handler = portcullis.withOpenApi(dispatch, {
  document: () =>
    portcullis.createOpenApi(portcullis.createRouteTable(rpcs).routes, {
      info: { title: "Library", version: "1" },
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      security: [{ bearer: [] }],
    }),
});

const address = { host: "127.0.0.1", port: Number(process.env["PORT"] ?? 8081) };
const { url } = await portcullis.openListener({ ...address, handler });
console.log(`serves the library on ${url} (what there is: /openapi.json)`);
