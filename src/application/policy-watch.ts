import type { Store } from "../store/store.ts";
import type { Subject } from "./applied-policy.ts";
import { ChangeFeed, type Follower } from "./change-feed.ts";
import {
  type Candidate,
  type Cursor,
  subjectKey,
  type WatchedChange,
  type WatchedChanges,
  type WatchScope,
  type WatchSight,
} from "./watched-changes.ts";

/** Nothing happened that is watched, up to the cursor. */
export interface WatchCheckpoint {
  readonly kind: "checkpoint";
  readonly cursor: Cursor;
}

export interface WatchOptions {
  readonly scope: WatchScope;
  readonly after: Cursor;
  /** Whether the first item is a checkpoint, at `after`. */
  readonly startsWithCheckpoint: boolean;
  /** Any of these ends the watch without an error. */
  readonly until: readonly AbortSignal[];
  /**
   * Called before a change is sent, and every few seconds. Resolves to what the watcher may see; what it rejects with ends the watch. Many
   * watchers ask at once, so what it costs should be shared.
   */
  permit(sight: WatchSight): Promise<(subject: Subject) => boolean>;
}

/** Milliseconds since any moment, and calls that come later. */
export interface Timers {
  now(): number;
  /** Returns what cancels the call. */
  later(ms: number, call: () => void): () => void;
}

export const realTimers: Timers = {
  now: () => performance.now(),
  later(ms, call) {
    const timer = setTimeout(call, ms).unref();
    return () => clearTimeout(timer);
  },
};

/** Clients are told 30 s. */
const checkpointMs = 25_000;
/** With what `permit` shares, well within the 5 s that are promised. */
const permitMs = 3_000;

/** Watches policies. The store is the queue: a watcher holds its position, and the page that it sends. */
export function createPolicyWatch(options: {
  readonly store: Pick<Store, "read" | "changes" | "changed">;
  readonly changes: Pick<WatchedChanges, "pageAfter">;
  readonly timers?: Timers;
}) {
  const { changes, timers = realTimers } = options;
  const feed = new ChangeFeed(options.store);

  return async function* watch(options: WatchOptions): AsyncGenerator<WatchedChange | WatchCheckpoint> {
    const { scope, after, startsWithCheckpoint, until, permit } = options;
    let isStirred = false;
    let failure: unknown;
    let wake = () => {};
    const stir = () => {
      isStirred = true;
      wake();
    };
    const follower: Follower = {
      ...(scope !== "everything" && { subjects: scope }),
      stir,
      fail(reason) {
        failure = reason;
        stir();
      },
    };
    const isOver = () => until.some(({ aborted }) => aborted);
    const doze = () =>
      new Promise<void>((resolve) => {
        const cancel = timers.later(permitMs, resolve);
        wake = () => {
          cancel();
          resolve();
        };
        if (isStirred) wake();
      });
    for (const signal of until) signal.addEventListener("abort", stir);
    try {
      await feed.join(follower);
      let cursor = after;
      let checkpointDue: number | undefined;
      while (!isOver()) {
        if (failure !== undefined) throw failure;
        isStirred = false;
        const page = await changes.pageAfter(
          scope,
          cursor.subject === undefined ? cursor.position : cursor.position - 1,
        );
        await permit(page);
        if (checkpointDue === undefined) {
          checkpointDue = timers.now() + checkpointMs;
          if (startsWithCheckpoint) yield { kind: "checkpoint", cursor };
        }
        for (const candidate of page.candidates) {
          if (!isAfter(candidate, cursor)) continue;
          if (isOver()) return;
          // The client may have taken long to read the one before.
          const maySee = await permit(page);
          const change = maySee(candidate.subject) ? await candidate.make() : undefined;
          if (change !== undefined) yield change;
        }
        cursor = { position: page.position };
        if (page.position < feed.head) continue;
        while (!isStirred) {
          // No event that is watched is among those up to there.
          cursor = { position: Math.max(cursor.position, feed.head) };
          if (timers.now() >= checkpointDue) {
            checkpointDue = timers.now() + checkpointMs;
            yield { kind: "checkpoint", cursor };
          } else {
            await doze();
            if (!isOver()) await permit(page);
          }
        }
      }
    } finally {
      feed.leave(follower);
      for (const signal of until) signal.removeEventListener("abort", stir);
    }
  };
}

const isAfter = ({ position, subject }: Candidate, cursor: Cursor): boolean =>
  position > cursor.position ||
  (position === cursor.position && cursor.subject !== undefined && subjectKey(subject) > cursor.subject);
