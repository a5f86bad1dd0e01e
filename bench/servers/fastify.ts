// A bare fastify server: it parses the request, and answers a fixed list by a response schema, as fastify is meant to be used.
import type { AddressInfo } from "node:net";
import fastify from "fastify";
import { announce, readAnswers } from "./answer.ts";

const text = { type: "string" };
const server = fastify();
for (const [path, { body }] of readAnswers()) {
  const list = JSON.parse(body.toString()) as unknown;
  const details = {
    type: "object",
    properties: { totalResult: text, processedSequence: text, viewTimestamp: text },
  };
  server.post(
    path,
    {
      schema: {
        body: { type: "object" },
        response: {
          200: { type: "object", properties: { details, result: { type: "array", items: text } } },
        },
      },
    },
    async () => list,
  );
}
await server.listen({ port: 0, host: "127.0.0.1" });
announce((server.server.address() as AddressInfo).port);
