// Serves the pages of this folder and the client libraries that they import on http://127.0.0.1:8000, or on another port:
//
//   npm exec -- node examples/serve-page.ts [PORT]
//
// Not a general web server for the checkout: that would hand out data/admin.token as well.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const pages = ["/examples/browser-grpc-web.html", "/examples/browser-fetch.html"];
const root = join(import.meta.dirname, "..");

// A package may be a folder that is named like a script.
const isFile = (path: string) => existsSync(path) && statSync(path).isFile();

const server = createServer((request, response) => {
  const pathname = URL.parse(request.url ?? "/", "http://127.0.0.1")?.pathname ?? "/";
  const isScript = pathname.startsWith("/node_modules/") && pathname.endsWith(".js");
  const file = join(root, pathname);
  if ((isScript || pages.includes(pathname)) && isFile(file)) {
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    createReadStream(file).pipe(response);
  } else {
    response.writeHead(404).end();
  }
});

server.listen(Number(process.argv[2] ?? 8000), "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  console.log(pages.map((page) => `open http://127.0.0.1:${port}${page}`).join("\n"));
});
