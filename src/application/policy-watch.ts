import { LRUCache } from "lru-cache";
import type { PolicyChange } from "../domain/login-policy/changes.ts";
import { appliedAt, changesOf, type Revision, revisionAt, type Timelines } from "../domain/login-policy/revisions.ts";
import { instanceRef, type RecordedEvent, type Store, type View } from "../store/store.ts";
import { type AppliedPolicy, appliedTo, type Subject } from "./applied-policy.ts";
import { ChangeFeed, type Follower } from "./change-feed.ts";
import type { PolicyHistory } from "./policy-history.ts";
import { instanceIn } from "./set-up.ts";

/** What is watched. Who watches everything sees one change for the instance, and not one for each organization that inherits. */
export type WatchScope = "everything" | readonly Subject[];

/**
 * How far a watch has come: it has seen all changes up to the position, or of those at the position only the ones up to a subject, in
 * the order of `subjectKey`. One change of the instance is a change of several subjects.
 */
export interface Cursor {
  readonly position: number;
  readonly subject?: string;
}

/** Orders subjects: the instance, then organizations by their ids. */
export const subjectKey = ({ type, id }: Subject): string => (type === "instance" ? "" : id);

/** An event by what tells it from the one that another history has at its position. */
export type EventMark = Pick<RecordedEvent, "position" | "sequence" | "recordedAt" | "actor"> & {
  readonly ref: { readonly type: string; readonly id: string };
};

export interface WatchedChange {
  readonly kind: "change";
  readonly cursor: Cursor;
  /** The last event of the revision. */
  readonly mark: EventMark;
  /** The policy that applies after it. */
  readonly after: AppliedPolicy;
  readonly changes: readonly PolicyChange[];
  readonly owner: Subject;
  readonly revision: Revision;
}

/** Nothing happened that is watched, up to the cursor. */
export interface WatchCheckpoint {
  readonly kind: "checkpoint";
  readonly cursor: Cursor;
}

/** What a page showed, for the check of permissions. */
export interface WatchSight {
  readonly position: number;
  /** Of the watched organizations, those that do not exist or were removed. */
  readonly missing: ReadonlySet<string>;
}

export interface WatchOptions {
  readonly scope: WatchScope;
  readonly after: Cursor;
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
const pageSize = 100;

/** A change that a page has, which is made out when the first watcher needs it. Undefined: no revision ends with this event. */
interface Candidate {
  readonly subject: Subject;
  readonly position: number;
  make(): Promise<WatchedChange | undefined>;
}

interface Page extends WatchSight {
  readonly candidates: readonly Candidate[];
}

export type PolicyWatch = ReturnType<typeof createPolicyWatch>;

/**
 * Watches policies. The store is the queue: a watcher holds its position and the page that it sends. Watchers that are at one position
 * share what they read.
 */
export function createPolicyWatch(options: {
  readonly store: Store;
  readonly history: PolicyHistory;
  readonly timers?: Timers;
}) {
  const { store, history, timers = realTimers } = options;
  const feed = new ChangeFeed(store);
  /** Those that are being read. */
  const pages = new Map<string, Promise<Page>>();
  const marks = new LRUCache<number, Promise<EventMark | undefined>>({ max: 100 });

  function pageAfter(scope: WatchScope, after: number): Promise<Page> {
    const key = `${after} ${scope === "everything" ? "*" : scope.map(subjectKey).join()}`;
    const shared = pages.get(key);
    if (shared !== undefined) return shared;
    const page = scope === "everything" ? readEverything(after) : readSubjects(scope, after);
    pages.set(key, page);
    const forget = () => pages.delete(key);
    page.then(forget, forget);
    return page;
  }

  async function readEverything(after: number): Promise<Page> {
    const types = ["instance", "organization"] as const;
    const { events, through } = await store.changes({ after, types, limit: pageSize });
    const candidates = events
      .filter(({ event }) => event.type !== "OrganizationAdded" && event.type !== "OrganizationRemoved")
      .map(({ ref, position }): Candidate => {
        const subject = ref as Subject;
        let made: Promise<WatchedChange | undefined> | undefined;
        const make = async () => {
          const sources = await readSources(subject);
          const timeline = subject.type === "instance" ? sources.instance : (sources.organization ?? []);
          const revision = revisionAt(timeline, position);
          // Otherwise the append goes on after this event.
          return revision?.position === position ? changeOf(sources, { subject, owner: subject, revision }) : undefined;
        };
        return {
          subject,
          position,
          make() {
            made ??= make();
            return made;
          },
        };
      });
    return { position: through, candidates, missing: new Set() };
  }

  /** Reads no other streams, however far back the position is. */
  async function readSubjects(scope: readonly Subject[], after: number): Promise<Page> {
    const view = await store.read([instanceRef, ...scope]);
    const missing = new Set<string>();
    const candidates: Candidate[] = [];
    for (const subject of scope) {
      if (subject.type === "organization" && view.get(subject).state?.removed !== false) {
        missing.add(subject.id);
        continue;
      }
      const sources = await sourcesIn(view, subject);
      for (const owner of ["instance", "organization"] as const) {
        for (const revision of revisionsAfter(sources[owner] ?? [], after)) {
          const { position } = revision;
          if (appliedAt(sources, position)?.owner !== owner && owner === "instance") continue;
          const from = owner === "instance" ? instanceRef : subject;
          const make = async () => changeOf(sources, { subject, owner: from, revision });
          candidates.push({ subject, position, make });
        }
      }
    }
    candidates.sort((a, b) => a.position - b.position || compareSubjects(a.subject, b.subject));
    // Not between the changes of one position.
    const last = candidates[pageSize - 1]?.position;
    const isCut = last !== undefined && candidates.length > pageSize;
    return {
      position: isCut ? last : view.position,
      candidates: isCut ? candidates.filter(({ position }) => position <= last) : candidates,
      missing,
    };
  }

  const readSources = async (subject: Subject): Promise<Sources> =>
    sourcesIn(await store.read([instanceRef, subject]), subject);

  async function sourcesIn(view: View, subject: Subject): Promise<Sources> {
    const organization = subject.type === "organization" ? view.get(subject) : undefined;
    const timelines = await history.timelines(view, organization?.ref.id);
    return { ...timelines, displayName: organization?.state?.name ?? "" };
  }

  /** The event at a position, for a token; undefined where there is none. */
  function markAt(position: number): Promise<EventMark | undefined> {
    const known = marks.get(position);
    if (known !== undefined) return known;
    const read = store.changes({ after: position - 1, limit: 1 }).then(({ events: [event] }) => event);
    marks.set(position, read);
    // A failure is not kept, nor that there is nothing yet.
    read.then(
      (mark) => mark === undefined && marks.delete(position),
      () => marks.delete(position),
    );
    return read;
  }

  /** The policies of a scope as they are at a position, by pages. Organizations that are added or removed meanwhile may be there or not. */
  async function* snapshot(
    wanted: { readonly instance: boolean; readonly organizations: readonly string[] | "all" },
    view: View,
  ): AsyncGenerator<readonly AppliedPolicy[]> {
    const inherited = instanceIn(view).loginPolicy;
    let page: AppliedPolicy[] = wanted.instance ? [appliedTo(instanceRef, { inherited, organization: undefined })] : [];
    for await (const organization of listOrganizations(store, wanted.organizations)) {
      const { ref: subject, state, position = 0 } = organization;
      if (state === undefined || state.removed) continue;
      if (page.length === pageSize) {
        yield page;
        page = [];
      }
      const isAsThen = position <= view.position;
      const sources = isAsThen ? undefined : await readSources(subject);
      const then = sources && appliedIn(sources, { subject, position: view.position });
      page.push(then ?? appliedTo(subject, { inherited, organization: isAsThen ? state : undefined }));
    }
    yield page;
  }

  async function* watch({ scope, after, until, permit }: WatchOptions): AsyncGenerator<WatchedChange | WatchCheckpoint> {
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
      let checkpointDue = Number.NEGATIVE_INFINITY;
      while (!isOver()) {
        if (failure !== undefined) throw failure;
        isStirred = false;
        const page = await pageAfter(scope, cursor.subject === undefined ? cursor.position : cursor.position - 1);
        let maySee = await permit(page);
        if (checkpointDue === Number.NEGATIVE_INFINITY) {
          checkpointDue = timers.now() + checkpointMs;
          yield { kind: "checkpoint", cursor };
        }
        for (const candidate of page.candidates) {
          if (!isAfter(candidate, cursor)) continue;
          // The client may have taken long to read the one before.
          maySee = await permit(page);
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
  }

  return { watch, snapshot, markAt };
}

/** What decides the policy of a subject. */
interface Sources extends Timelines {
  readonly displayName: string;
}

function appliedIn(
  sources: Sources,
  { subject, position }: { readonly subject: Subject; readonly position: number },
): AppliedPolicy | undefined {
  const applied = appliedAt(sources, position);
  if (applied === undefined) return undefined;
  const owner = applied.owner === "instance" ? instanceRef : subject;
  return { subject, displayName: sources.displayName, owner, policy: applied.policy };
}

function changeOf(
  sources: Sources,
  { subject, owner, revision }: { readonly subject: Subject; readonly owner: Subject; readonly revision: Revision },
): WatchedChange {
  const { position, recordedAt, actor } = revision;
  const after = appliedIn(sources, { subject, position });
  if (after === undefined) throw new Error("a timeline of the instance lacks its first revision");
  return {
    kind: "change",
    cursor: { position, subject: subjectKey(subject) },
    mark: { position, ref: owner, sequence: revision.revision, recordedAt, actor },
    after,
    changes: changesOf(sources, revision),
    owner,
    revision,
  };
}

function revisionsAfter(timeline: readonly Revision[], position: number): readonly Revision[] {
  const before = timeline.findLastIndex((revision) => revision.position <= position);
  return before === timeline.length - 1 ? [] : timeline.slice(before + 1);
}

const compareSubjects = (a: Subject, b: Subject): number => (subjectKey(a) < subjectKey(b) ? -1 : 1);

const isAfter = ({ position, subject }: Candidate, cursor: Cursor): boolean =>
  position > cursor.position ||
  (position === cursor.position && cursor.subject !== undefined && subjectKey(subject) > cursor.subject);

async function* listOrganizations(store: Store, ids: readonly string[] | "all") {
  if (ids !== "all") {
    for (let at = 0; at < ids.length; at += pageSize) {
      const refs = ids.slice(at, at + pageSize).map((id) => ({ type: "organization", id }) as const);
      const view = await store.read(refs);
      for (const ref of refs) yield view.get(ref);
    }
    return;
  }
  for (let after: string | undefined; ; ) {
    const page = await store.list("organization", { ...(after !== undefined && { after }), limit: pageSize });
    yield* page;
    after = page.at(-1)?.ref.id;
    if (page.length < pageSize) return;
  }
}
