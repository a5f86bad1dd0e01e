import { afterAll, beforeAll } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { defineStoreSuite } from "./suite.ts";

let postgres: Postgres;
const databases = new Map<string, Promise<string>>();
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

defineStoreSuite({
  name: "postgres",
  async open({ place, clock }) {
    const database = databases.get(place) ?? postgres.createDatabase();
    databases.set(place, database);
    return openStore({ location: await database, clock });
  },
  except: [],
});
