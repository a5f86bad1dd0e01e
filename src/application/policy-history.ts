import { LRUCache } from "lru-cache";
import {
  emptyStream,
  type FoldedStream,
  foldEvents,
  type PolicyOwner,
  type PolicyOwnerEvent,
  type Timeline,
  type Timelines,
} from "../domain/login-policy/revisions.ts";
import {
  type AggregateRef,
  instanceRef,
  organizationRef,
  type Snapshot,
  type Store,
  type View,
} from "../store/store.ts";

export interface PolicyHistoryOptions {
  /** How many revisions of all owners together stay in memory. Default 50,000, which take at most some 50 MB. */
  readonly maxRevisions?: number;
}

/** The timelines of the policies' owners. Those that were used last stay in memory, and only new events are read for them. */
export type PolicyHistory = ReturnType<typeof createPolicyHistory>;

export function createPolicyHistory(
  store: Pick<Store, "history">,
  { maxRevisions = 50_000 }: PolicyHistoryOptions = {},
) {
  // A stream with more revisions than the bound is never kept, and is read anew by each call.
  const kept = new LRUCache<string, FoldedStream>({
    maxSize: maxRevisions,
    sizeCalculation: ({ timeline }) => timeline.length + 1,
  });
  const running = new Map<string, Promise<FoldedStream>>();

  function refresh({ ref, version }: Snapshot<PolicyOwner>): Promise<FoldedStream> {
    const key = keyOf(ref);
    const shared = running.get(key);
    if (shared !== undefined) return shared;
    const fold = async () => {
      try {
        const folded = await readStream(store, { ref, version, known: kept.get(key) ?? emptyStream });
        kept.set(key, folded);
        return folded;
      } finally {
        running.delete(key);
      }
    };
    const started = fold();
    running.set(key, started);
    return started;
  }

  async function fold(snapshot: Snapshot<PolicyOwner>): Promise<FoldedStream> {
    const key = keyOf(snapshot.ref);
    const known = kept.get(key);
    if (known !== undefined && isAt(known, snapshot)) return known;
    const shared = await running.get(key);
    // That one may have begun before the events of this snapshot were written; one that begins now has them.
    return shared !== undefined && isAt(shared, snapshot) ? shared : refresh(snapshot);
  }

  /** The timeline of an owner as of a snapshot. It is shared, so it must not be changed. Rejects as `Store.history` does. */
  async function timeline(snapshot: Snapshot<PolicyOwner>): Promise<Timeline> {
    if (snapshot.version === 0) return [];
    const { timeline } = await fold(snapshot);
    const end = timeline.findLastIndex(({ revision }) => revision <= snapshot.version) + 1;
    return end === timeline.length ? timeline : timeline.slice(0, end);
  }

  return {
    timeline,

    /** What decides the policy of the instance or of an organization, as of a view that has read these. */
    async timelines(view: View, organizationId?: string): Promise<Timelines> {
      const [instance, organization] = await Promise.all([
        timeline(view.get(instanceRef)),
        organizationId === undefined ? undefined : timeline(view.get(organizationRef(organizationId))),
      ]);
      return { instance, organization };
    },
  };
}

const keyOf = ({ type, id }: AggregateRef): string => `${type}/${id}`;

/** Whether a stream ends where the snapshot does. A restore may have put another history under the same sequence. */
const isAt = ({ last, state }: FoldedStream, snapshot: Snapshot<PolicyOwner>): boolean =>
  last?.sequence === snapshot.version &&
  (snapshot.position === undefined || last.position === snapshot.position) &&
  state?.loginPolicy?.changedAt === snapshot.state?.loginPolicy?.changedAt;

const pageSize = 500;

interface StreamToRead {
  readonly ref: AggregateRef<PolicyOwner>;
  /** The sequence of its newest event, as far as the caller knows. */
  readonly version: number;
  /** What is folded already. */
  readonly known: FoldedStream;
}

/** Reads a stream back to what is known of it, or to its beginning where that is of another history, and folds the rest. */
async function readStream(store: Pick<Store, "history">, { ref, version, known }: StreamToRead): Promise<FoldedStream> {
  const end = known.last;
  /** Newest first, as the store returns them. */
  const events: PolicyOwnerEvent[] = [];
  // With the last known event, to compare it.
  let limit = Math.min(Math.max(version - (end?.sequence ?? 0) + 1, 1), pageSize);
  for (let before: number | undefined; ; limit = pageSize) {
    const page = await store.history(ref, { limit, ...(before === undefined ? {} : { before }) });
    // The store was replaced between two pages.
    if (page === undefined) return readStream(store, { ref, version, known: emptyStream });
    for (const one of page) {
      if (end !== undefined && isSameEvent(one, end)) return foldEvents(ref.type, known, events.reverse());
      events.push(one);
    }
    if (page.length < limit) return foldEvents(ref.type, emptyStream, events.reverse());
    before = page.at(-1)?.position;
  }
}

const isSameEvent = (a: PolicyOwnerEvent, b: PolicyOwnerEvent): boolean =>
  a.sequence === b.sequence && a.position === b.position && a.recordedAt === b.recordedAt;
