// The library in Fastify 5: npm exec -- node examples/mounting/fastify.ts
import fastify from "fastify";
import { dispatch } from "./library.ts";

const app = fastify();
app.get("/before", () => "before\n");
// This hook runs before Fastify reads a body, also for paths without a route in Fastify. For an RPC, the dispatch does not call
// `next`, and Fastify leaves the answer alone.
app.addHook("onRequest", (request, reply, next) => dispatch(request.raw, reply.raw, next));
app.post<{ Body: { text: string } }>("/after", (request) => `after ${request.body.text}\n`);
app.setNotFoundHandler((_, reply) => reply.code(404).send("nothing here\n"));

const url = await app.listen({ host: "127.0.0.1", port: Number(process.env["PORT"] ?? 8082) });
console.log(`serves on ${url}`);
