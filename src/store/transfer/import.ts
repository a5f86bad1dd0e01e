import { createHash } from "node:crypto";
import type { AggregateType } from "../../domain/events.ts";
import { StoreError } from "../errors.ts";
import type { RecordedEvent, Store } from "../store.ts";
import { digestState, header, type Totals, type Watch } from "./export.ts";

/** Longer than that of any event that can be recorded. */
const maxLineBytes = 4 * 1024 * 1024;

/**
 * Reads what `exportLines` wrote into an empty store: all of it, or nothing. Rejects as `Store.import` does. Whatever is wrong with
 * the lines is a StoreError `corrupt`, whose sentence begins with `name`.
 */
export async function importLines(
  store: Store,
  { bytes, name, watch }: { readonly bytes: AsyncIterable<Buffer>; readonly name: string; readonly watch: Watch },
): Promise<Totals> {
  const reader = new LineReader(bytes, name);
  await store.import(watch(reader.events(), "events"), async (history) => {
    const { aggregates, stateDigest } = await digestState(watch(history.aggregates(), "aggregates"));
    if (aggregates === reader.totals?.aggregates && stateDigest === reader.totals.stateDigest) return;
    throw reader.refused(
      "comes from a store in another state than its events make: verify that store, rebuild it, and export again",
    );
  });
  return reader.totals as Totals;
}

class LineReader {
  /** What the last line says, once it was read. */
  totals: Totals | undefined;
  readonly #bytes: AsyncIterable<Buffer>;
  readonly #name: string;
  readonly #digest = createHash("sha256");
  #line = 0;

  constructor(bytes: AsyncIterable<Buffer>, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  /** The events, once. They end only where all lines are there, as they were written. */
  async *events(): AsyncIterable<RecordedEvent> {
    let events = 0;
    for await (const bytes of this.#lines()) {
      this.#line += 1;
      if (this.totals !== undefined) throw this.refused(goesOn);
      const value = this.#parse(bytes);
      if (this.#line === 1) this.#checkHeader(value);
      else if ("linesDigest" in value) this.totals = this.#readTotals(value, events);
      else {
        events += 1;
        yield this.#readEvent(value);
      }
      if (this.totals === undefined) this.#digest.update(bytes).update("\n");
    }
    if (this.#line === 0) throw this.refused("is empty");
    if (this.totals === undefined) throw this.refused(`is cut short after line ${this.#line}`);
  }

  async *#lines(): AsyncIterable<Buffer> {
    let rest: Buffer[] = [];
    let length = 0;
    const add = (part: Buffer): void => {
      length += part.length;
      if (length > maxLineBytes) throw this.refused(`has a line ${this.#line + 1} of more than ${maxLineBytes} bytes`);
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
    throw this.refused(this.totals === undefined ? `is cut short in line ${this.#line + 1}` : goesOn);
  }

  #parse(line: Buffer): Readonly<Record<string, unknown>> {
    let value: unknown;
    try {
      value = JSON.parse(utf8.decode(line));
    } catch {
      throw this.refused(`has no JSON in line ${this.#line}`);
    }
    if (isObject(value)) return value;
    throw this.refused(`has no JSON object in line ${this.#line}`);
  }

  #checkHeader({ format, version }: Readonly<Record<string, unknown>>): void {
    if (format !== header.format) throw this.refused("is no export of a store: its first line does not say so");
    if (version === header.version || version === 1) return;
    throw this.refused(
      `has version ${JSON.stringify(version)} of the format, and this program knows versions up to ${header.version}`,
    );
  }

  #readTotals(value: Readonly<Record<string, unknown>>, events: number): Totals {
    const totals = value as unknown as Totals;
    if (totals.events !== events) {
      throw this.refused(`has ${events} events, and ${JSON.stringify(totals.events)} by its last line`);
    }
    if (totals.linesDigest === this.#digest.digest("hex")) return totals;
    throw this.refused("was changed: the digest in its last line is another");
  }

  #readEvent(value: Readonly<Record<string, unknown>>): RecordedEvent {
    const { position, aggregateType, aggregateId, sequence, type, version, payload, recordedAt, actor } = value;
    const { append, cause } = value;
    const isEvent =
      [position, sequence, version, recordedAt].every((number) => Number.isSafeInteger(number)) &&
      [aggregateType, aggregateId, type, actor].every((text) => typeof text === "string" && text.isWellFormed()) &&
      isObject(payload) &&
      (append === undefined || Number.isSafeInteger(append)) &&
      (cause === undefined || isObject(cause)) &&
      Object.keys(value).length === 9 + (append === undefined ? 0 : 1) + (cause === undefined ? 0 : 1);
    if (!isEvent) throw this.refused(`has no event in line ${this.#line}`);
    const ref = { type: aggregateType as AggregateType, id: aggregateId as string };
    const event = { type, version, payload } as never;
    return { position, ref, sequence, event, recordedAt, actor, append, cause } as RecordedEvent;
  }

  refused(what: string): StoreError {
    return new StoreError("corrupt", `${this.#name} ${what}.`);
  }
}

const goesOn = "goes on after its last line";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
