// A bare node:http server: it answers every request for a path with the text it was given.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const answers = JSON.parse(process.argv[2] ?? "{}") as Record<string, string>;
const server = createServer((request, response) => {
  const body = Buffer.from(answers[request.url ?? ""] ?? "", "base64");
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  response.end(body);
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`serves on http://127.0.0.1:${(server.address() as AddressInfo).port};\n`);
});
