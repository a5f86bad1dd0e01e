import { afterAll, beforeAll } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { emptyDatabase, type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { defineStoreSuite } from "./suite.ts";

let postgres: Postgres;
let location: string;
let lastPlace: string | undefined;
beforeAll(async () => {
  postgres = await startPostgres();
  location = await postgres.createDatabase();
});
afterAll(() => postgres.stop());

defineStoreSuite({
  name: "postgres",
  async open({ place, clock }) {
    // Each test has one place.
    if (place !== lastPlace) await emptyDatabase(location);
    lastPlace = place;
    return openStore({ location, clock });
  },
  except: [],
});
