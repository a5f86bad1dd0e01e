import { createHash } from "node:crypto";
import { toSortedJson } from "../shared/verify.ts";
import type { RecordedEvent, Snapshot, Store } from "../store.ts";

// An export is JSON lines: a header, a line for each event, and a last line with totals, without which it is not whole.

/** Version 2 adds `append` and `cause` to lines of events. */
export const header = { format: "portcullis-events", version: 2 };

/** What the last line says of those before it. */
export interface Totals {
  readonly events: number;
  readonly aggregates: number;
  /** Of the lines before, line breaks included: SHA-256 in hex. */
  readonly linesDigest: string;
  /** Of the state that the events fold to: see `digestState`. */
  readonly stateDigest: string;
}

/** Follows the progress of a long run: passes on what it is given. */
export type Watch = <T>(items: AsyncIterable<T>, what: "events" | "aggregates") => AsyncIterable<T>;

/** Writes the history of a store, line by line, each with its line break. Resolves to what the last line says. */
export function exportLines(
  store: Store,
  { write, watch }: { readonly write: (line: string) => Promise<void>; readonly watch: Watch },
): Promise<Totals> {
  return store.export(async (history) => {
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
  });
}

/** The sum of the SHA-256 of each aggregate, modulo 2^256. A sum, because engines do not order texts alike. */
export async function digestState(
  aggregates: AsyncIterable<Snapshot>,
): Promise<Pick<Totals, "aggregates" | "stateDigest">> {
  let count = 0;
  let sum = 0n;
  for await (const { ref, version, state } of aggregates) {
    count += 1;
    const text = toSortedJson([ref.type, ref.id, version, state]);
    sum = BigInt.asUintN(256, sum + BigInt(`0x${createHash("sha256").update(text).digest("hex")}`));
  }
  return { aggregates: count, stateDigest: sum.toString(16).padStart(64, "0") };
}

/** An event of an older version has no `append`, and most have no `cause`. */
function toFields({ position, ref, sequence, event, recordedAt, actor, append, cause }: RecordedEvent) {
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
    append,
    cause,
  };
}
