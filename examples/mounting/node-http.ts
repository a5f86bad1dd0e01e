// The library beside your own routes, on node:http: npm exec -- node examples/mounting/node-http.ts
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dispatch } from "./library.ts";

const server = createServer((request, response) => {
  if (request.url === "/before") {
    response.end("before\n");
    return;
  }
  // Calls back for requests that are for none of its RPCs.
  dispatch(request, response, () => {
    if (request.url === "/after") {
      response.end("after\n");
      return;
    }
    response.statusCode = 404;
    response.end("nothing here\n");
  });
});

server.listen(Number(process.env["PORT"] ?? 8082), "127.0.0.1", () => {
  console.log(`serves on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
