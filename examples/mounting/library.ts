// The programs of this folder mount this short version of the service in ../own-service.
import { Code, ConnectError } from "@connectrpc/connect";
import { createDispatch, createRpcTable } from "@portcullis/rpc";
import { LibraryService } from "../own-service/gen/library_pb.ts";

const titles = new Map<string, string>();

const rpcs = createRpcTable((router) => {
  router.service(LibraryService, {
    getBook({ name }) {
      const title = titles.get(name);
      if (title === undefined) throw new ConnectError(`there is no book ${name}`, Code.NotFound);
      return { name, title };
    },
    addBook({ shelf, book }) {
      const name = `${shelf}/books/${titles.size + 1}`;
      titles.set(name, book?.title ?? "");
      return { name, title: book?.title ?? "" };
    },
    async *listBooks({ shelf }) {
      for (const [name, title] of titles) if (name.startsWith(`${shelf}/`)) yield { name, title };
    },
  });
});

export const dispatch = createDispatch(rpcs);
