import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/store.ts";
import { exportLines as exportTo, type Totals, type Watch } from "../../src/store/transfer/export.ts";
import { importLines } from "../../src/store/transfer/import.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { addCounter, addOrganization, addUser, countUp, passToken, removeOrganization } from "./fixtures/commands.ts";
import { given } from "./fixtures/iterables.ts";
import { makePath, openAt } from "./fixtures/places.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

const watch: Watch = (items) => items;

async function exportLines(store: Store): Promise<string[]> {
  const lines: string[] = [];
  const write = async (line: string) => void lines.push(line);
  await exportTo(store, { write, watch });
  return lines;
}

const importFrom = (store: Store, chunks: readonly (string | Buffer)[]): Promise<Totals> =>
  importLines(store, { bytes: given(chunks.map((chunk) => Buffer.from(chunk))), name: "The file", watch });

const makeStore = {
  sqlite: () => openAt(makePath()),
  async postgres() {
    const store = await openStore({ location: await postgres.createDatabase() });
    onTestFinished(() => store.close());
    return store;
  },
  async memory() {
    const store = await openStore({ location: "memory:" });
    onTestFinished(() => store.close());
    return store;
  },
};
const engines = Object.keys(makeStore) as (keyof typeof makeStore)[];

/** Ids, names and actors that engines order, escape or split differently. */
const oddTexts = ["\0", "\\0", "\\", "a\u2028b\nc\r\n", "ü", "\uffee", "😀", "B", "a", '"'];

async function fill(store: Store): Promise<void> {
  for (const id of oddTexts) {
    await store.execute({ ...addCounter(id), actor: id });
    await store.execute(addUser(id, `user ${id}`));
    await store.execute(countUp(id));
  }
  await store.execute(passToken({ to: "a", tokenId: "t" }));
  await store.execute(passToken({ from: "a", to: "B", tokenId: "t" }));
  await store.execute(removeOrganization("\\0"));
}

async function filled(): Promise<Store> {
  const store = await makeStore.sqlite();
  await fill(store);
  return store;
}

describe("a history as lines", () => {
  it("goes round all engines, and comes back the same in every byte", async () => {
    const first = await makeStore.sqlite();
    await fill(first);
    const lines = await exportLines(first);
    for (const engine of ["postgres", "memory", "sqlite"] as const) {
      const store = await makeStore[engine]();
      // In pieces that end anywhere.
      const bytes = Buffer.from(lines.join(""));
      const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, n) => bytes.subarray(n * 7, n * 7 + 7));
      expect(await importFrom(store, pieces)).toMatchObject({ events: 44, aggregates: 20 });
      expect(await exportLines(store)).toEqual(lines);
      expect(await store.verify()).toMatchObject({ problems: [], events: 44 });
    }
  });

  it("has a header, a line for each event, and a last line", async () => {
    const store = await makeStore.memory();
    await store.execute(addOrganization("a"));
    const [header, event, last] = (await exportLines(store)).map((line) => JSON.parse(line));
    expect(header).toEqual({ format: "portcullis-events", version: 2 });
    expect(event).toEqual({
      position: 1,
      aggregateType: "organization",
      aggregateId: "a",
      sequence: 1,
      type: "OrganizationAdded",
      version: 1,
      payload: { name: "a" },
      recordedAt: expect.any(Number),
      actor: "test",
      append: 1,
    });
    const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
    expect(last).toEqual({ events: 1, aggregates: 1, stateDigest: digest, linesDigest: digest });
  });

  it("may be of the format before, which says neither append nor cause", async () => {
    const lines = await exportLines(await filled());
    const older = lines.slice(1, -1).map((line) => {
      const { append, cause, ...fields } = JSON.parse(line);
      return `${JSON.stringify(fields)}\n`;
    });
    const header = `${JSON.stringify({ format: "portcullis-events", version: 1 })}\n`;
    const store = await makeStore.memory();
    expect(await importFrom(store, seal([header, ...older, lines.at(-1) as string]))).toMatchObject({ events: 44 });
    const { events } = await store.changes({ after: 0, limit: 100 });
    expect(events.filter(({ append, cause }) => append !== undefined || cause !== undefined)).toEqual([]);
    expect(await store.verify()).toMatchObject({ problems: [], events: 44 });
  });

  it("is whole for an empty store too", async () => {
    const lines = await exportLines(await makeStore.sqlite());
    expect(await importFrom(await makeStore.postgres(), lines)).toMatchObject({ events: 0, aggregates: 0 });
  });

  it("tells the same state whatever the order of the fields that are kept", async () => {
    const path = makePath();
    const store = await openAt(path);
    await store.execute(addCounter("a"));
    const lines = await exportLines(store);
    await store.close();
    const db = new DatabaseSync(path);
    const [row] = db.prepare("SELECT state FROM aggregates").all();
    const backwards = Object.fromEntries(Object.entries(JSON.parse(String(row?.["state"]))).reverse());
    // As another version of the program would write it.
    db.prepare("UPDATE aggregates SET digest = NULL, state = ?").run(JSON.stringify(backwards));
    db.close();
    expect(await exportLines(await openAt(path))).toEqual(lines);
  });
});

const parse = (line = "") => JSON.parse(line) as Record<string, never>;
const change = (lines: readonly string[], at: number, to: (line: string) => string) =>
  lines.map((line, index) => (index === at ? to(line) : line));
const edit = (lines: readonly string[], at: number, fields: object) =>
  change(lines, at, (line) => `${JSON.stringify({ ...parse(line), ...fields })}\n`);
const last = (lines: readonly string[]) => lines.length - 1;
/** As their writer would end them: what is wrong with them is in the events. */
function seal(lines: readonly string[]): readonly string[] {
  const before = lines.slice(0, -1);
  const linesDigest = createHash("sha256").update(before.join("")).digest("hex");
  return edit(lines, last(lines), { events: before.length - 1, linesDigest });
}

/** What may have become of the lines of an export, and what its reader says of it. */
const broken: readonly (readonly [
  name: string,
  sentence: RegExp,
  make: (lines: readonly string[]) => readonly (string | Buffer)[],
])[] = [
  ["empty", /is empty/, () => []],
  ["of another program", /no export of a store/, () => ['{"type":"other"}\n']],
  ["without its first line", /no export of a store/, (lines) => lines.slice(1)],
  ["of a newer format", /version 3 of the format/, (lines) => edit(lines, 0, { version: 3 })],
  ["not JSON", /no JSON in line 1/, () => ["SQLite format 3\0\n"]],
  ["not JSON from some line on", /no JSON in line 3/, (lines) => change(lines, 2, () => "{\n")],
  ["no JSON object in a line", /no JSON object in line 2/, (lines) => change(lines, 1, () => "[]\n")],
  ["not UTF-8", /no JSON in line 2/, (lines) => [lines[0] as string, Buffer.from([0x22, 0xff, 0x22, 0x0a])]],
  ["cut short after a line", /cut short after line 4/, (lines) => lines.slice(0, 4)],
  ["cut short before its last line", /cut short after/, (lines) => lines.slice(0, -1)],
  ["cut short in a line", /cut short in line 4/, (lines) => [...lines.slice(0, 3), lines[3]?.slice(0, 9) as string]],
  ["without its last line break", /cut short in line/, (lines) => change(lines, last(lines), (line) => line.trim())],
  ["longer by a line", /goes on after its last line/, (lines) => [...lines, lines[1] as string]],
  ["longer by a part of a line", /goes on after its last line/, (lines) => [...lines, "{"]],
  ["changed in an actor", /was changed/, (lines) => edit(lines, 2, { actor: "somebody" })],
  ["changed in a space", /was changed/, (lines) => change(lines, 2, (line) => line.replace(":", ": "))],
  ["without one of its events", /has 43 events/, (lines) => lines.filter((_, index) => index !== 2)],
  ["with an event twice", /has 45 events/, (lines) => lines.flatMap((line, n) => (n === 2 ? [line, line] : line))],
  ["with a gap", /positions have a gap/, (lines) => seal(lines.filter((_, index) => index !== 2))],
  [
    "with an event of a newer version",
    /of version 2 is not known here/,
    (lines) => seal(edit(lines, 2, { version: 2 })),
  ],
  [
    "with an unknown event",
    /Frobnicated of version 1 is not known here/,
    (lines) => seal(edit(lines, 2, { type: "Frobnicated" })),
  ],
  [
    "with events that fold to another state",
    /another state/,
    (lines) => seal(edit(lines, 1, { recordedAt: 1, payload: { name: "x" } })),
  ],
  ["with a text for an append", /no event in line 3/, (lines) => edit(lines, 2, { append: "1" })],
  ["with a text for a cause", /no event in line 3/, (lines) => edit(lines, 2, { cause: "x" })],
  ["with an append that is none", /as the first of its append/, (lines) => seal(edit(lines, 3, { append: 2 }))],
  ["with a field too many", /no event in line 3/, (lines) => edit(lines, 2, { more: 1 })],
  ["with a field too few", /no event in line 3/, (lines) => edit(lines, 2, { actor: undefined })],
  ["with a number for a text", /no event in line 3/, (lines) => edit(lines, 2, { actor: 1 })],
  ["with a broken number", /no event in line 3/, (lines) => edit(lines, 2, { recordedAt: 1.5 })],
  ["with a text for a payload", /no event in line 3/, (lines) => edit(lines, 2, { payload: "x" })],
  ["with half a character", /no event in line 3/, (lines) => edit(lines, 2, { actor: "\ud800" })],
  ["of another state", /in another state/, (lines) => edit(lines, last(lines), { stateDigest: "0".repeat(64) })],
  ["of more aggregates", /in another state/, (lines) => edit(lines, last(lines), { aggregates: 21 })],
  [
    "with an endless line",
    /line 2 of more than 4194304 bytes/,
    (lines) => [lines[0] as string, ...Array.from({ length: 80 }, () => "x".repeat(65_536))],
  ],
];

describe.each(engines)("an import into %s", (engine) => {
  let lines: readonly string[];
  beforeAll(async () => {
    const store = await openStore({ location: "memory:" });
    await fill(store);
    lines = await exportLines(store);
    await store.close();
  });

  it("refuses each broken file in a sentence, and the store stays empty until the whole one comes", async () => {
    const store = await makeStore[engine]();
    for (const [name, sentence, make] of broken) {
      const error = await importFrom(store, make(lines)).catch((reason: unknown) => reason);
      expect(error, name).toMatchObject({ name: "StoreError", code: "corrupt" });
      expect((error as Error).message, name).toMatch(sentence);
      expect((error as Error).message, name).toMatch(/^(The file|Event) .+\.$/s);
      expect(await store.verify(), name).toEqual({ problems: [], events: 0, aggregates: 0 });
    }
    await importFrom(store, lines);
    expect(await exportLines(store)).toEqual(lines);
  });
});
