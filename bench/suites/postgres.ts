import { createLoginPolicies } from "../../src/commands/login-policy.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/store.ts";
import { startPostgres } from "../../test/fixtures/postgres.ts";
import type { Effort } from "../environment.ts";
import { temporaryDirectory } from "../processes.ts";
import type { Figure, Report, Row } from "../report.ts";
import { ratiosOf } from "../statistics.ts";
import { fillStore, organizationId, storeLocation } from "../store-fixture.ts";
import { writeWith } from "./writes.ts";

const callerCounts = [1, 16, 64] as const;
const calls = ["reads", "durable writes"] as const;

/** Reads and durable writes at the store's contract: PostgreSQL beside SQLite, and two nodes beside one. */
export async function measurePostgres({ rounds, seconds }: Effort): Promise<Report> {
  const postgres = await startPostgres();
  const database = await postgres.createDatabase();
  const sqlite = await openStore({ location: storeLocation(temporaryDirectory()) });
  const one = await openStore({ location: database });
  const two = await openStore({ location: database });
  try {
    for (const store of [sqlite, one]) await fillStore(store, Math.max(...callerCounts));
    const contenders: Readonly<Record<string, readonly Store[]>> = {
      SQLite: [sqlite],
      PostgreSQL: [one],
      "PostgreSQL, two nodes": [one, two],
    };
    const measured = new Map<string, number[]>();
    for (let round = -1; round < rounds; round++) {
      for (const call of calls) {
        for (const callers of callerCounts) {
          for (const [name, stores] of Object.entries(contenders)) {
            const perSecond = await measure(stores, { call, callers, seconds });
            const values = measured.get(`${name}: ${call}, ${callers} callers`) ?? [];
            measured.set(`${name}: ${call}, ${callers} callers`, values);
            // The round before the first warms up.
            if (round >= 0) values.push(perSecond);
          }
        }
      }
    }
    const ratio = (above: string, below: string) =>
      calls.flatMap((call) =>
        callerCounts.map((callers): Row => {
          const of = (name: string) => measured.get(`${name}: ${call}, ${callers} callers`) ?? [];
          return { what: `${above} / ${below}: ${call}, ${callers} callers`, ratios: ratiosOf(of(above), of(below)) };
        }),
      );
    const figures = [...measured].map(([what, values]): Figure => ({ what, unit: "/s", values }));
    return { rows: [...ratio("PostgreSQL", "SQLite"), ...ratio("PostgreSQL, two nodes", "PostgreSQL")], figures };
  } finally {
    for (const store of [sqlite, one, two]) await store.close();
    await postgres.stop();
  }
}

/** Calls per second of callers that are divided between the nodes, each at an organization of its own. */
async function measure(
  stores: readonly Store[],
  work: { readonly call: (typeof calls)[number]; readonly callers: number; readonly seconds: number },
): Promise<number> {
  const { call, callers, seconds } = work;
  const numbers = Array.from({ length: callers }, (_, caller) => caller);
  const perSecond = await Promise.all(
    stores.map((store, index) => {
      const own = numbers.filter((caller) => caller % stores.length === index);
      return call === "reads" ? read(store, own, seconds) : writeWith(createLoginPolicies(store), own, seconds);
    }),
  );
  return perSecond.reduce((sum, one) => sum + one, 0);
}

async function read(store: Store, callers: readonly number[], seconds: number): Promise<number> {
  const policies = createLoginPolicies(store);
  const started = performance.now();
  let reads = 0;
  const keepReading = async (caller: number) => {
    while (performance.now() < started + seconds * 1000) {
      await policies.getEffective({ organizationId: organizationId(caller) });
      reads += 1;
    }
  };
  await Promise.all(callers.map(keepReading));
  return reads / ((performance.now() - started) / 1000);
}
