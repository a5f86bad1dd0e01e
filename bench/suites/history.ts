import { createLoginPolicies } from "../../src/application/login-policy.ts";
import type { OrganizationEvent } from "../../src/domain/events.ts";
import { openStore } from "../../src/store/open.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { startPostgres } from "../../test/fixtures/postgres.ts";
import type { Effort } from "../environment.ts";
import { temporaryDirectory } from "../processes.ts";
import { atMost, type Figure, type Report, type Row } from "../report.ts";
import { median, ratiosOf } from "../statistics.ts";
import { fillStore, organizationId, storeLocation } from "../store-fixture.ts";
import { turnSeconds, turnsIn } from "../turns.ts";

const events = 10_000;
const perCommand = 250;
const limit = 50;
/** Of which memory keeps a part. */
const organizations = 20_000;

/** Pages of a long history beside Get, at the store's contract, by one caller. */
export async function measureHistory(effort: Effort): Promise<Report> {
  const postgres = await startPostgres();
  try {
    const ofSqlite = await measureEngine("SQLite", storeLocation(temporaryDirectory()), effort);
    const ofPostgres = await measureEngine("PostgreSQL", await postgres.createDatabase(), effort);
    return { rows: [...ofSqlite.rows, ...ofPostgres.rows], figures: [...ofSqlite.figures, ...ofPostgres.figures] };
  } finally {
    await postgres.stop();
  }
}

async function measureEngine(engine: string, location: string, { rounds, seconds }: Effort): Promise<Report> {
  const store = await openStore({ location });
  await fillStore(store, organizations);
  await addEvents(store);
  const policies = createLoginPolicies(store);
  const ref = organizationRef(organizationId(0));
  let before: number | undefined;
  /** The newest page, then the one before it, and so on to the first event: no page is there from the call before. */
  const readPage = async () => {
    const page = await store.history(ref, { limit, ...(before !== undefined && { before }) });
    before = page === undefined || page.length < limit ? undefined : page.at(-1)?.position;
  };
  /** Each looks whether the store has changed. As it has not, the policy is in memory. */
  const get = () => policies.getEffective({ organizationId: ref.id });
  let next = 0;
  /** Memory keeps fewer organizations than there are, so this one is read, as a page is. */
  const getOther = () => {
    next = (next + 1) % organizations;
    return policies.getEffective({ organizationId: organizationId(next) });
  };

  const calls = { page: readPage, get, getOther };
  const names = Object.keys(calls) as (keyof typeof calls)[];
  const medians = { page: [] as number[], get: [] as number[], getOther: [] as number[] };
  const ratios = { get: [] as number[], getOther: [] as number[] };
  for (let round = -1; round < rounds; round++) {
    const times = { page: [] as number[], get: [] as number[], getOther: [] as number[] };
    for (let turn = 0; turn < turnsIn(seconds); turn++) {
      for (const name of names) times[name].push(await medianTimeOf(calls[name]));
    }
    // The round before the first warms up.
    if (round < 0) continue;
    for (const name of names) medians[name].push(median(times[name]));
    for (const name of ["get", "getOther"] as const) ratios[name].push(median(ratiosOf(times.page, times[name])));
  }
  await store.close();
  const page = `${engine}: p50 of a page of ${limit} events of an aggregate with ${events}`;
  const rows: Row[] = [
    { what: `${page} / of Get that is read from the store`, ratios: ratios.getOther, goal: atMost(3, 2) },
    { what: `${page} / of Get from memory`, ratios: ratios.get },
  ];
  const figure = (what: string, values: readonly number[]): Figure => ({
    what: `${engine}: ${what}, p50`,
    unit: "µs",
    values,
  });
  return {
    rows,
    figures: [
      figure(`a page of ${limit} events`, medians.page),
      figure("Get that is read from the store", medians.getOther),
      figure("Get from memory", medians.get),
    ],
  };
}

/** In microseconds, of calls that follow each other for one turn. */
async function medianTimeOf(call: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  const until = performance.now() + turnSeconds * 1000;
  for (let now = performance.now(); now < until; ) {
    await call();
    const done = performance.now();
    times.push((done - now) * 1000);
    now = done;
  }
  return median(times);
}

async function addEvents(store: Store): Promise<void> {
  const ref = organizationRef(organizationId(0));
  const factor = "otp_email" as const;
  const pair: readonly OrganizationEvent[] = [
    { type: "SecondFactorAdded", version: 1, payload: { factor } },
    { type: "SecondFactorRemoved", version: 1, payload: { factor } },
  ];
  const added = Array.from({ length: perCommand / pair.length }, () => pair).flat();
  for (let written = 0; written < events; written += added.length) {
    await store.execute({
      actor: "bench",
      reads: [ref],
      decide: () => ({ changes: [{ ref, events: added }], value: undefined }),
    });
  }
}
