import { StoreError } from "../errors.ts";
import type { AggregateRef, ChangesPage, RecordedEvent } from "../store.ts";
import { type StateSource, type StoredEvent, toRecordedEvent } from "./read-rows.ts";

/** Bounds how many events one page of changes looks at: most may be of other types. */
export const maxLookedAt = 5000;

/** What was found on the way back along the history of an aggregate. */
export interface WayBack {
  /** The sequence of the event after those that were looked for. */
  readonly from: number;
  /** Newest first. Each has the sequence before the one before it, and fewer than `limit` where a link does not lead to such an event. */
  readonly events: readonly StoredEvent[];
}

/** Throws StoreError `corrupt` where the way ends before the first event, and for an event that cannot be read. */
export function toHistoryPage(
  { from, events }: WayBack,
  { ref, limit, source }: { readonly ref: AggregateRef; readonly limit: number; readonly source: StateSource },
): RecordedEvent[] {
  const { sequence, position = undefined } = events.at(-1) ?? { sequence: from };
  if (events.length < limit && sequence > 1) {
    const lost = position === undefined ? "The event that comes next" : `The event before event ${position}`;
    const problem = `${lost} in the history of ${ref.type} ${ref.id} is not where it should be in the store ${source.name}`;
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
