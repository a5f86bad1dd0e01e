import { StoreError } from "../errors.ts";
import type { AggregateRef, ChangesPage, KeyHolder, RecordedEvent } from "../store.ts";
import { type StateSource, type StoredEvent, type StoredState, toRecordedEvent, toSnapshot } from "./read-rows.ts";

/** Bounds how many events one page of changes looks at: most may be of other types. */
export const maxLookedAt = 5000;

/** A walk along the links between the events of an aggregate, from newer ones to older ones. */
interface Walk {
  /** Where it begins: after the newest event, or at an event. */
  readonly start: Pick<StoredEvent, "sequence" | "previous">;
  /** Those before the start. It ends at a link that is missing, or does not lead to the event before. */
  readonly events: readonly StoredEvent[];
}

/** Where it must go on by sequences, for which there is an index then: an older version of this program left out a link. */
export function leftOut(
  { start, events }: Walk,
  limit: number,
): { readonly before: number; readonly count: number } | undefined {
  const { sequence, previous } = events.at(-1) ?? start;
  const count = limit - events.length;
  return previous === null && sequence > 1 && count > 0 ? { before: sequence, count } : undefined;
}

/** Throws StoreError `corrupt` where the walk did not come to the event before, and for an event that cannot be read. */
export function toHistoryPage(
  { start, events }: Walk,
  { ref, limit, source }: { readonly ref: AggregateRef; readonly limit: number; readonly source: StateSource },
): RecordedEvent[] {
  const length = Math.min(limit, start.sequence - 1);
  for (let index = 0; index < length; index += 1) {
    const sequence = start.sequence - 1 - index;
    if (events[index]?.sequence === sequence) continue;
    const problem = `Event ${sequence} of ${ref.type} ${ref.id} is not where it should be in the store ${source.name}`;
    throw new StoreError("corrupt", `${problem}. Verify the store, or restore it from a backup.`);
  }
  return events.map((event) => toNewestVersion(event, source));
}

/** `newest` is the position of the newest event before the rows were read. */
export function toChangesPage(
  rows: readonly StoredEvent[],
  {
    after,
    limit,
    newest,
    source,
  }: { readonly after: number; readonly limit: number; readonly newest: number; readonly source: StateSource },
): ChangesPage {
  const events = rows.map((row) => toNewestVersion(row, source));
  const last = events.at(-1)?.position ?? after;
  const through = events.length === limit ? last : Math.max(last, Math.min(newest, after + maxLookedAt));
  return { events, through };
}

function toNewestVersion(row: StoredEvent, source: StateSource): RecordedEvent {
  const recorded = toRecordedEvent(row, source.name);
  const { position, ref, event } = recorded;
  try {
    return { ...recorded, event: source.projection.upcast.event(ref.type, event) };
  } catch (error) {
    const reason = (error as Error).message;
    const sentence = `Event ${position} of ${ref.type} ${ref.id} in the store ${source.name} cannot be read: ${reason}.`;
    throw new StoreError("corrupt", sentence, error);
  }
}

/** The holders of values that begin with a text. The rows are in the order of their values, and may go on after those. */
export function toKeyHolders(
  rows: readonly { readonly value: string; readonly stored: StoredState }[],
  { startsWith, source }: { readonly startsWith: string; readonly source: StateSource },
): KeyHolder[] {
  const end = rows.findIndex(({ value }) => !value.startsWith(startsWith));
  // The states after that are not of the page, and may be damaged.
  const held = rows.slice(0, end < 0 ? rows.length : end);
  return held.map(({ value, stored }) => ({ value, snapshot: toSnapshot(stored, source) }));
}

/** Throws a RangeError for what no page and no position can be. */
export function refuseNumbers({
  limit = 1,
  position = 0,
}: {
  readonly limit?: number;
  readonly position?: number | undefined;
}): void {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new RangeError(`a page cannot have ${limit} items`);
  if (!Number.isSafeInteger(position) || position < 0) throw new RangeError(`${position} is no position`);
}
