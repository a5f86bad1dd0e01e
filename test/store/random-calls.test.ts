import { expect, it, onTestFinished } from "vitest";
import { evolve, uniqueKeysOf } from "../../src/domain/evolve.ts";
import type { State } from "../../src/domain/states.ts";
import { openStore } from "../../src/store/open.ts";
import type { AggregateRef, RecordChange, RecordedEvent, Store, StoreRecord } from "../../src/store/store.ts";
import { isWhole, sampleNote, sampleSeed } from "../fixtures/sample.ts";
import { createRandom } from "../process/random.ts";
import { collect } from "./fixtures/iterables.ts";
import { makePath } from "./fixtures/places.ts";
import { runScript } from "./fixtures/processes.ts";
import { type Found, makeRandomCalls, type Observation, orderOf } from "./fixtures/random-client.ts";

const rounds = isWhole ? 20 : 1;
const callsOfEach = 120;

/** What the history says that a store holds, moment by moment. */
class Model {
  readonly #states = new Map<string, { readonly version: number; readonly state: State | undefined }>();
  readonly #holders = new Map<string, string>();
  readonly #records = new Map<string, StoreRecord | undefined>();
  readonly #events: readonly RecordedEvent[];
  #position = 0;

  constructor(events: readonly RecordedEvent[]) {
    this.#events = events;
  }

  moveTo(position: number): void {
    const events = this.#events.slice(this.#position, position);
    this.#position = position;
    const changed = new Map(events.map(({ ref }) => [`${ref.type} ${ref.id}`, ref]));
    // A command may pass a key from one to the other, in any order of its events.
    for (const [name, { type }] of changed) {
      for (const { kind, value } of uniqueKeysOf(type, this.#states.get(name)?.state)) {
        this.#holders.delete(`${kind} ${value}`);
      }
    }
    for (const { ref, sequence, recordedAt, event } of events) {
      const state = this.#states.get(`${ref.type} ${ref.id}`)?.state as never;
      const after = evolve(ref.type, { state, event, origin: { sequence, recordedAt } });
      this.#states.set(`${ref.type} ${ref.id}`, { version: sequence, state: after });
    }
    for (const [name, { type, id }] of changed) {
      for (const { kind, value } of uniqueKeysOf(type, this.#states.get(name)?.state)) {
        this.#holders.set(`${kind} ${value}`, id);
      }
    }
  }

  put(changes: readonly RecordChange[]): void {
    for (const { ref, to } of changes) this.#records.set(`${ref.record} ${ref.id}`, to);
  }

  /** What should have been found in its place. An expired record may be gone. */
  expected(found: Found, clockAt: number): Found {
    if ("key" in found) {
      return { key: found.key, holder: this.#holders.get(`${found.key.kind} ${found.key.value}`) ?? null };
    }
    if ("record" in found) {
      const record = this.#records.get(`${found.record.record} ${found.record.id}`) ?? null;
      const isExpired = record?.expiresAt !== undefined && record.expiresAt <= clockAt;
      return { record: found.record, value: isExpired && found.value === null ? null : record };
    }
    return { ref: found.ref, ...this.stateOf(found.ref) };
  }

  stateOf({ type, id }: AggregateRef): { readonly version: number; readonly state: unknown } {
    return this.#states.get(`${type} ${id}`) ?? { version: 0, state: null };
  }
}

/** Expects each call to have seen one moment of the store, and none that was over before it began. */
function expectLinearizable(observations: readonly Observation[], events: readonly RecordedEvent[]): void {
  const isCommit = ({ events: written = [], records = [] }: Observation) => written.length + records.length > 0;
  expect(observations.flatMap(({ events: written = [] }) => written).sort((a, b) => a - b)).toEqual(
    events.map(({ position }) => position),
  );
  const model = new Model(events);
  // What a commit wrote is there after the moment that it saw; at that moment, others saw the same as it.
  const inOrder = [...observations].sort(
    (a, b) => orderOf(a) - orderOf(b) || Number(isCommit(a)) - Number(isCommit(b)),
  );
  let commitsBefore = 0;
  for (const { position, recordCommits, found, clockAt, records = [] } of inOrder) {
    model.moveTo(position);
    expect({ position, recordCommits, found }).toEqual({
      position,
      recordCommits: commitsBefore,
      found: found.map((one) => model.expected(one, clockAt)),
    });
    model.put(records);
    if (records.length > 0) commitsBefore += 1;
  }
  const byEnd = [...observations].sort((a, b) => a.endedAt - b.endedAt);
  let [acknowledged, next] = [0, 0];
  for (const one of [...observations].sort((a, b) => a.startedAt - b.startedAt)) {
    for (; (byEnd[next]?.endedAt ?? one.startedAt) < one.startedAt; next += 1) {
      acknowledged = Math.max(acknowledged, orderAfter(byEnd[next] as Observation));
    }
    expect(orderOf(one)).toBeGreaterThanOrEqual(Math.max(acknowledged, one.notBefore ?? 0));
  }
}

const orderAfter = (one: Observation): number =>
  orderOf(one) + (one.events?.length ?? 0) + ((one.records?.length ?? 0) > 0 ? 1 : 0);

async function historyOf(store: Store): Promise<RecordedEvent[]> {
  return store.export((history) => collect(history.events()));
}

async function runRound(seed: number, processes: number): Promise<number> {
  const location = `sqlite:${makePath()}`;
  const stores = [
    await openStore({ location, busyTimeoutMs: 60_000 }),
    await openStore({ location, busyTimeoutMs: 60_000 }),
  ];
  for (const store of stores) onTestFinished(() => store.close());
  const others = Array.from({ length: processes }, (_, index) =>
    runScript("random-process.ts", [location, String(seed * 7 + index), String(callsOfEach)]),
  );
  await Promise.all(others.map((other) => other.printed(1)));
  for (const other of others) other.go();
  const observations: Observation[] = [];
  await Promise.all(
    [0, 1, 2].map((client) =>
      makeRandomCalls(stores, {
        random: createRandom(seed * 7 + 3 + client),
        calls: callsOfEach,
        clock: Date.now,
        tell: (observation) => observations.push(JSON.parse(JSON.stringify(observation)) as Observation),
      }),
    ),
  );
  for (const other of others) {
    await other.ended();
    observations.push(...other.lines.slice(1).map((line) => JSON.parse(line) as Observation));
  }
  const unexpected = observations.flatMap(({ failure }) =>
    failure !== undefined && !isRefusal(failure) ? [failure] : [],
  );
  expect(unexpected).toEqual([]);
  expectLinearizable(observations, await historyOf(stores[0] as Store));
  expect((await (stores[0] as Store).verify()).problems).toEqual([]);
  return observations.length;
}

const isRefusal = (failure: string): boolean =>
  /cannot follow|belongs to another|has no policy|is not among/.test(failure);

it(
  `shows each call one moment of a SQLite file, and none that is over, ${sampleNote}`,
  async () => {
    let observed = 0;
    for (let round = 0; round < rounds; round += 1) {
      observed += await runRound(sampleSeed + round, 1);
    }
    expect(observed).toBeGreaterThan(rounds * callsOfEach);
  },
  rounds * 60_000,
);
