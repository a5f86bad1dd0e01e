import { afterAll, beforeAll } from "vitest";
import { emptyDatabase, type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { defineCases } from "./define-cases.ts";

let postgres: Postgres;
let database: string;
beforeAll(async () => {
  postgres = await startPostgres();
  database = await postgres.createDatabase();
});
afterAll(() => postgres.stop());

// What a protocol does is no matter of the store: one of the framed ones or REST is enough.
defineCases(
  [
    { protocol: "gRPC", path: "direct", stockHandlers: false },
    { protocol: "REST", path: "only", stockHandlers: false },
  ],
  {
    async location() {
      await emptyDatabase(database);
      return database;
    },
    isSampled: true,
  },
);
