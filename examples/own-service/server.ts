// Serves library.proto on gRPC, gRPC-Web, Connect and REST JSON: npm exec -- node examples/own-service/server.ts
import { Code, ConnectError } from "@connectrpc/connect";
import { serve } from "@portcullis/rpc";
import { type Book, LibraryService } from "./gen/library_pb.ts";

const books = new Map<string, Pick<Book, "name" | "title">>();
const { url } = await serve({
  port: Number(process.env["PORT"] ?? 8081),
  services: (router) =>
    router.service(LibraryService, {
      getBook({ name }) {
        const book = books.get(name);
        if (book !== undefined) return book;
        throw new ConnectError(`there is no book ${name}`, Code.NotFound);
      },
      addBook({ shelf, book }) {
        const added = { name: `${shelf}/books/${books.size + 1}`, title: book?.title ?? "" };
        books.set(added.name, added);
        return added;
      },
      async *listBooks({ shelf, title }) {
        yield* [...books.values()].filter((book) => book.name.startsWith(`${shelf}/`) && book.title.includes(title));
      },
    }),
});
console.log(`serves the library on ${url} (its routes: ${url}/openapi.json)`);
