// The least that a server on node:http can do: it reads the request and answers fixed bytes.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { announce, readAnswers } from "./answer.ts";

const answers = readAnswers();
const server = createServer((request, response) => {
  const answer = answers.get(request.url ?? "");
  if (answer === undefined) {
    response.writeHead(404).end();
    return;
  }
  request.resume();
  request.on("end", () => {
    const { contentType, body } = answer;
    response.writeHead(200, { "content-type": contentType, "content-length": body.length });
    response.end(body);
  });
});
server.listen(0, "127.0.0.1", () => announce((server.address() as AddressInfo).port));
