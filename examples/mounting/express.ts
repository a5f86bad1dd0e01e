// The library as middleware of Express 5: npm exec -- node examples/mounting/express.ts
import type { AddressInfo } from "node:net";
import express from "express";
import { dispatch } from "./library.ts";

const app = express();
app.get("/before", (_, response) => {
  response.send("before\n");
});
// Before express.json(), because the dispatch reads bodies itself. It passes on requests for none of its RPCs.
app.use(dispatch);
app.use(express.json());
app.post("/after", (request, response) => {
  response.send(`after ${request.body.text}\n`);
});
app.use((_, response) => {
  response.status(404).send("nothing here\n");
});

const server = app.listen(Number(process.env["PORT"] ?? 8082), "127.0.0.1", () => {
  console.log(`serves on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
