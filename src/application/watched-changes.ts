import { LRUCache } from "lru-cache";
import type { PolicyChange } from "../domain/login-policy/changes.ts";
import { appliedAt, changesOf, type Revision, revisionAt, type Timelines } from "../domain/login-policy/revisions.ts";
import { instanceRef, type RecordedEvent, type Store, type View } from "../store/store.ts";
import type { AppliedPolicy, Subject } from "./applied-policy.ts";
import type { PolicyHistory } from "./policy-history.ts";

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

/** What a page showed, for the check of permissions. */
export interface WatchSight {
  readonly position: number;
  /** Of the watched organizations, those that do not exist or were removed. */
  readonly missing: ReadonlySet<string>;
}

/** A change that a page has, which is made out when the first watcher needs it. Undefined: no revision ends with this event. */
export interface Candidate {
  readonly subject: Subject;
  readonly position: number;
  make(): Promise<WatchedChange | undefined>;
}

export interface WatchPage extends WatchSight {
  readonly candidates: readonly Candidate[];
}

const pageSize = 100;

export type WatchedChanges = ReturnType<typeof createWatchedChanges>;

/** Reads the changes after a position. Watchers that are at one position share what they read. */
export function createWatchedChanges({ store, history }: { readonly store: Store; readonly history: PolicyHistory }) {
  /** Those that are being read. */
  const pages = new Map<string, Promise<WatchPage>>();
  const marks = new LRUCache<number, Promise<EventMark | undefined>>({ max: 100 });

  /** The next page of a scope. */
  function pageAfter(scope: WatchScope, after: number): Promise<WatchPage> {
    const key = `${after} ${scope === "everything" ? "*" : scope.map(subjectKey).join()}`;
    const shared = pages.get(key);
    if (shared !== undefined) return shared;
    const page = scope === "everything" ? readEverything(after) : readSubjects(scope, after);
    pages.set(key, page);
    const forget = () => pages.delete(key);
    page.then(forget, forget);
    return page;
  }

  async function readEverything(after: number): Promise<WatchPage> {
    const types = ["instance", "organization"] as const;
    const { events, through } = await store.changes({ after, types, limit: pageSize });
    const candidates = events
      .filter(({ event }) => event.type !== "OrganizationAdded" && event.type !== "OrganizationRemoved")
      .map(({ ref, position }): Candidate => {
        const subject = ref as Subject;
        const make = once(async () => {
          const sources = await readSources(subject);
          const timeline = subject.type === "instance" ? sources.instance : (sources.organization ?? []);
          const revision = revisionAt(timeline, position);
          // Otherwise the append goes on after this event.
          return revision?.position === position ? changeOf(sources, { subject, owner: subject, revision }) : undefined;
        });
        return { subject, position, make };
      });
    return { position: through, candidates, missing: new Set() };
  }

  /** Reads no other streams, however far back the position is. */
  async function readSubjects(scope: readonly Subject[], after: number): Promise<WatchPage> {
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
        const from = owner === "instance" ? instanceRef : subject;
        for (const revision of firstAfter(sources, { owner, position: after, most: pageSize + 1 })) {
          const make = once(async () => changeOf(sources, { subject, owner: from, revision }));
          candidates.push({ subject, position: revision.position, make });
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

  /** The event at a position, for a token; undefined where there is none, as at 0. */
  async function markAt(position: number): Promise<EventMark | undefined> {
    if (position === 0) return undefined;
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

  return {
    pageAfter,
    markAt,

    /** The policy that applied to a subject at a position; undefined before the instance was there. */
    async appliedAt(subject: Subject, position: number): Promise<AppliedPolicy | undefined> {
      return appliedIn(await readSources(subject), { subject, position });
    },
  };
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

/** The first revisions of an owner after a position that changed what applies to the subject. */
function firstAfter(
  sources: Sources,
  wanted: { readonly owner: "instance" | "organization"; readonly position: number; readonly most: number },
): readonly Revision[] {
  const { owner, position, most } = wanted;
  const timeline = sources[owner] ?? [];
  const found: Revision[] = [];
  const before = timeline.findLastIndex((revision) => revision.position <= position);
  for (let index = before + 1; index < timeline.length && found.length < most; index += 1) {
    const revision = timeline[index] as Revision;
    const isFelt = owner === "organization" || appliedAt(sources, revision.position)?.owner === "instance";
    if (isFelt) found.push(revision);
  }
  return found;
}

const compareSubjects = (a: Subject, b: Subject): number => (subjectKey(a) < subjectKey(b) ? -1 : 1);

/** Makes it when it is first asked for. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
