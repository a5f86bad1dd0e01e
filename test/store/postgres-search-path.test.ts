import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { finishStore, migrateStore, openStore } from "../../src/store/open.ts";
import { organizationRef } from "../../src/store/store.ts";
import { emptyDatabase, type Postgres, query, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, countUp } from "./fixtures/commands.ts";
import { makeOlderDatabase } from "./fixtures/older-store.ts";
import { defineStoreSuite } from "./suite.ts";

const role = `portcullis_test_path_${process.pid}`;
let postgres: Postgres;
let owner: string;
let location: string;
let lastPlace: string | undefined;

beforeAll(async () => {
  postgres = await startPostgres();
  owner = await postgres.createDatabase();
  await query(owner, traps().join(";\n"));
  const url = new URL(owner);
  await query(
    owner,
    `CREATE ROLE ${role} LOGIN PASSWORD 'secret';
    GRANT CREATE ON DATABASE ${url.pathname.slice(1)} TO ${role};
    GRANT USAGE ON SCHEMA trap TO ${role};
    ALTER ROLE ${role} SET search_path = trap, pg_catalog`,
  );
  url.username = role;
  url.password = "secret";
  location = url.href;
});
afterAll(async () => {
  await query(owner, `DROP OWNED BY ${role}`);
  await query(owner, `DROP ROLE ${role}`);
  await postgres.stop();
});

/** A schema whose operators and functions fail where PostgreSQL's own would answer, and whose types hold nothing. */
function traps(): string[] {
  const numbers = ["smallint", "integer", "bigint"];
  const pairs = [
    ["text", "text"],
    ["uuid", "uuid"],
    ...numbers.flatMap((left) => numbers.map((right) => [left, right])),
  ] as const;
  return [
    "CREATE SCHEMA trap",
    ...["text", "uuid", "int2", "int4", "int8"].map(
      (type) => `CREATE DOMAIN trap.${type} AS pg_catalog.${type} CHECK (VALUE IS NULL)`,
    ),
    ...pairs.flatMap(([left, right]) => [
      `CREATE FUNCTION trap.compare(pg_catalog.${name(left)}, pg_catalog.${name(right)}) RETURNS boolean
        LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''an operator of the trap''; END'`,
      ...["=", "<>", "<", "<=", ">", ">="].map(
        (operator) => `CREATE OPERATOR trap.${operator} (FUNCTION = trap.compare,
          LEFTARG = pg_catalog.${name(left)}, RIGHTARG = pg_catalog.${name(right)})`,
      ),
      ...["+", "-"].map(
        (operator) => `CREATE OPERATOR trap.${operator} (FUNCTION = trap.compare,
          LEFTARG = pg_catalog.${name(left)}, RIGHTARG = pg_catalog.${name(right)})`,
      ),
    ]),
    `CREATE FUNCTION trap.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE sql AS 'SELECT NULL WHERE false'`,
    `CREATE FUNCTION trap.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'`,
    `CREATE FUNCTION trap.max(pg_catalog.int8) RETURNS pg_catalog.int8 LANGUAGE sql AS 'SELECT 0::pg_catalog.int8'`,
    `CREATE FUNCTION trap.to_regclass(pg_catalog.text) RETURNS pg_catalog.regclass LANGUAGE sql AS 'SELECT NULL'`,
  ];
}

/** The name that PostgreSQL's catalog has for a type. */
function name(type: string): string {
  return { smallint: "int2", integer: "int4", bigint: "int8" }[type] ?? type;
}

it("is a path that leads astray", async () => {
  await expect(query(location, "SELECT 'a'::pg_catalog.text = 'a'")).rejects.toThrow("an operator of the trap");
  await expect(query(location, "SELECT 1::smallint = 1")).rejects.toThrow("an operator of the trap");
  await expect(query(location, "SELECT 1::text")).rejects.toThrow("violates check constraint");
  expect((await query(location, "SELECT pg_is_in_recovery() AS replica")).rows).toEqual([{ replica: true }]);
});

it("leads no migration astray, nor its end", async () => {
  await emptyDatabase(location);
  await makeOlderDatabase(owner, 3, async (store) => {
    await store.execute(addCounter("counter"));
    await store.execute(countUp("counter"));
  });
  await query(
    owner,
    `ALTER SCHEMA portcullis OWNER TO ${role};
    DO $$ DECLARE name pg_catalog.text; BEGIN
      FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'portcullis' LOOP
        EXECUTE format('ALTER TABLE portcullis.%I OWNER TO ${role}', name);
      END LOOP;
    END $$`,
  );
  expect(await migrateStore({ location })).toMatchObject({ from: 3, isFinished: false });
  expect(await finishStore({ location })).toBe(true);
  expect(await migrateStore({ location })).toMatchObject({ isFinished: true });
  const store = await openStore({ location });
  onTestFinished(() => store.close());
  expect(await store.history(organizationRef("counter"), { limit: 9 })).toHaveLength(3);
  expect(await store.verify()).toMatchObject({ problems: [], events: 3 });
});

defineStoreSuite({
  name: "postgres, for a role whose search_path leads astray",
  async open({ place, clock }) {
    if (place !== lastPlace) await emptyDatabase(location);
    lastPlace = place;
    return openStore({ location, clock });
  },
  except: [],
});
