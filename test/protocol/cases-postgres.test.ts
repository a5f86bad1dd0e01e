import { afterAll, beforeAll } from "vitest";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { defineCases } from "./define-cases.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

// What a protocol does is no matter of the store: one of the framed ones and REST are enough.
defineCases(
  [
    { protocol: "gRPC", path: "direct", stockHandlers: false },
    { protocol: "REST", path: "only", stockHandlers: false },
  ],
  () => postgres.createDatabase(),
);
