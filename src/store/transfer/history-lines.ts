import { createHash, type Hash } from "node:crypto";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import { toSortedJson } from "../shared/verify.ts";
import type { History, RecordedEvent, Snapshot } from "../store.ts";

// A history as JSON lines: the header, a line for each event, and a last line, without which it is not whole.

const header = { format: "portcullis-events", version: 1 };
/** Longer than that of any event that can be recorded. */
const maxLineBytes = 4 * 1024 * 1024;

/** What the last line says of those before it. */
export interface Totals {
  readonly events: number;
  readonly aggregates: number;
  /** Of the lines before, line breaks included: SHA-256 in hex. */
  readonly linesDigest: string;
  /** Of the state that the events fold to: see `digestState`. */
  readonly stateDigest: string;
}

/** Follows how far a long work is: passes on what it is given, and tells now and then how much that was. */
export type Watch = <T>(items: AsyncIterable<T>, what: "events" | "aggregates") => AsyncIterable<T>;

/** Writes the lines, each with its line break, and resolves to what the last of them says. */
export async function writeLines(
  history: History,
  { write, watch }: { readonly write: (line: string) => Promise<void>; readonly watch: Watch },
): Promise<Totals> {
  const digest = createHash("sha256");
  const writeNext = (value: unknown): Promise<void> => {
    const line = `${JSON.stringify(value)}\n`;
    digest.update(line);
    return write(line);
  };
  await writeNext(header);
  let events = 0;
  for await (const recorded of watch(history.events(), "events")) {
    events += 1;
    await writeNext(toFields(recorded));
  }
  const state = await digestState(watch(history.aggregates(), "aggregates"));
  const totals = { events, ...state, linesDigest: digest.digest("hex") };
  await write(`${JSON.stringify(totals)}\n`);
  return totals;
}

/**
 * A number for the state of all aggregates together: the sum of the SHA-256 of each, modulo 2^256. A sum, because engines do
 * not order texts alike.
 */
async function digestState(aggregates: AsyncIterable<Snapshot>): Promise<Pick<Totals, "aggregates" | "stateDigest">> {
  let count = 0;
  let sum = 0n;
  for await (const { ref, version, state } of aggregates) {
    count += 1;
    const text = toSortedJson([ref.type, ref.id, version, state]);
    sum = BigInt.asUintN(256, sum + BigInt(`0x${createHash("sha256").update(text).digest("hex")}`));
  }
  return { aggregates: count, stateDigest: sum.toString(16).padStart(64, "0") };
}

function toFields({ position, ref, sequence, event, recordedAt, actor }: RecordedEvent) {
  return {
    position,
    aggregateType: ref.type,
    aggregateId: ref.id,
    sequence,
    type: event.type,
    version: event.version,
    payload: event.payload,
    recordedAt,
    actor,
  };
}

/** Reads what `writeLines` wrote. Everything it finds wrong is a StoreError `corrupt`, whose sentence begins with `name`. */
export class LineReader {
  readonly #bytes: AsyncIterable<Buffer>;
  readonly #name: string;
  readonly #digest = createHash("sha256");
  #line = 0;
  #totals: Totals | undefined;

  constructor(bytes: AsyncIterable<Buffer>, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  /** The events, which come once. Their end is reached only where all lines are there and as they were written. */
  async *events(): AsyncIterable<RecordedEvent> {
    let events = 0;
    for await (const bytes of this.#lines()) {
      this.#line += 1;
      if (this.#totals !== undefined) throw this.#refused(goesOn);
      const value = this.#parse(bytes);
      if (this.#line === 1) this.#checkHeader(value);
      else if ("linesDigest" in value) this.#totals = this.#readTotals(value, { events, digest: this.#digest });
      else {
        events += 1;
        yield this.#readEvent(value);
      }
      if (this.#totals === undefined) this.#digest.update(bytes).update("\n");
    }
    if (this.#line === 0) throw this.#refused("is empty");
    if (this.#totals === undefined) throw this.#refused(`is cut short after line ${this.#line}`);
  }

  /** Once all events were read: throws unless they made this state. */
  async check(aggregates: AsyncIterable<Snapshot>): Promise<Totals> {
    const found = await digestState(aggregates);
    if (this.#totals === undefined) throw new Error("the events were not read to their end");
    if (found.stateDigest === this.#totals.stateDigest && found.aggregates === this.#totals.aggregates) {
      return this.#totals;
    }
    throw this.#refused(
      "tells another state than its events fold to here: verify the store that it comes from, rebuild that, and export again",
    );
  }

  async *#lines(): AsyncIterable<Buffer> {
    let rest: Buffer[] = [];
    let length = 0;
    const add = (part: Buffer): void => {
      length += part.length;
      if (length > maxLineBytes) throw this.#refused(`has a line ${this.#line + 1} of more than ${maxLineBytes} bytes`);
      rest.push(part);
    };
    for await (const bytes of this.#bytes) {
      let start = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
        add(bytes.subarray(start, end));
        yield rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest);
        [rest, length, start] = [[], 0, end + 1];
      }
      if (start < bytes.length) add(bytes.subarray(start));
    }
    if (length === 0) return;
    throw this.#refused(this.#totals === undefined ? `is cut short in line ${this.#line + 1}` : goesOn);
  }

  #parse(line: Buffer): Readonly<Record<string, unknown>> {
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(line));
    } catch {
      throw this.#refused(`has no JSON in line ${this.#line}`);
    }
    if (isObject(value)) return value;
    throw this.#refused(`has no JSON object in line ${this.#line}`);
  }

  #checkHeader({ format, version }: Readonly<Record<string, unknown>>): void {
    if (format !== header.format) throw this.#refused("is no export of a store: its first line does not say so");
    if (version === header.version) return;
    throw this.#refused(
      `has version ${JSON.stringify(version)} of the format, and this program knows version ${header.version}`,
    );
  }

  #readTotals(
    value: Readonly<Record<string, unknown>>,
    found: { readonly events: number; readonly digest: Hash },
  ): Totals {
    const totals = value as unknown as Totals;
    if (totals.events !== found.events) {
      throw this.#refused(`has ${found.events} events, and its last line tells of ${JSON.stringify(totals.events)}`);
    }
    if (totals.linesDigest === found.digest.digest("hex")) return totals;
    throw this.#refused("was changed: the digest in its last line is another");
  }

  #readEvent(value: Readonly<Record<string, unknown>>): RecordedEvent {
    const { position, aggregateType, aggregateId, sequence, type, version, payload, recordedAt, actor } = value;
    const isEvent =
      [position, sequence, version, recordedAt].every((number) => Number.isSafeInteger(number)) &&
      [aggregateType, aggregateId, type, actor].every((text) => typeof text === "string" && text.isWellFormed()) &&
      isObject(payload) &&
      Object.keys(value).length === 9;
    if (!isEvent) throw this.#refused(`has no event in line ${this.#line}`);
    const ref = { type: aggregateType as AggregateType, id: aggregateId as string };
    const event = { type, version, payload } as never;
    return { position, ref, sequence, event, recordedAt, actor } as RecordedEvent;
  }

  #refused(what: string): StoreError {
    return new StoreError("corrupt", `${this.#name} ${what}.`);
  }
}

const goesOn = "goes on after its last line";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
