// Serves the pages of this folder, and the client libraries that they import, on http://127.0.0.1:8000 or another port:
//
//   npm exec -- node examples/serve-page.ts [PORT]
//
// It serves only these files: a server for the whole checkout would also serve data/admin.token.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

const pages = ["/examples/browser-grpc-web.html", "/examples/browser-fetch.html"];
const root = join(import.meta.dirname, "..");

// The name of a package folder may look like a script.
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
