import type { Writes } from "../shared/batch.ts";
import type { StateSource } from "../shared/read-rows.ts";
import { FetchedMoment } from "./fetch.ts";
import { type Head, isSameRevision, maxMissed, type News, type Revision } from "./head.ts";

/** A commit of this process. */
export interface OwnCommit {
  /** The head that it was decided on. */
  readonly from: Head;
  /** The head once it is committed. */
  readonly to: Head;
  readonly writes: Writes;
}

/**
 * What is committed, as far as this process knows. Reads and writes share it. It advances over commits of this process, and moves to what
 * others committed. Only heads that a server showed move it, so while someone waits for an answer, it may have moved on.
 */
export class CommittedMoment extends FetchedMoment {
  /** Of the moment; undefined where nothing is known. Each move makes it another object. */
  head: Head | undefined;
  readonly #source: StateSource;
  #onTheirWay: OwnCommit[] = [];

  constructor(source: StateSource) {
    super(source);
    this.#source = source;
  }

  /** Whether it is at this revision, which was read from the server. Where own commits lead there, it advances over them first. */
  reaches(revision: Revision): boolean {
    if (this.isAt(revision)) return true;
    const last = this.#onTheirWay.findIndex(({ to }) => isSameRevision(to.revision, revision));
    for (const commit of this.#onTheirWay.slice(0, last + 1)) this.#advanceOver(commit);
    return this.isAt(revision);
  }

  isAt(revision: Revision): boolean {
    return this.head !== undefined && isSameRevision(this.head.revision, revision);
  }

  /** Whether it has moved since it was at a head, and is later than a revision that was read meanwhile. */
  isPast(revision: Revision, since: Head | undefined): boolean {
    return this.head !== since && this.head !== undefined && this.head.revision.commits > revision.commits;
  }

  /** Moves to the head of the news, unless it is past it. */
  follow(news: News): void {
    const { from, head, touched } = news;
    if (this.reaches(head.revision) || this.isPast(head.revision, from)) return;
    if (from !== undefined && this.head === from && tellsAll(news, from)) {
      this.moveTo(head, touched);
      if (head.counts.recordCommits !== from.counts.recordCommits) this.forgetRecords();
    } else this.startOver(head);
    this.head = head;
  }

  /** An empty moment of this head, to fetch into. `keep` takes over what was fetched, where that is still of use. */
  fetching(head: Head): { readonly fetched: FetchedMoment; readonly keep: () => void } {
    const fetched = new FetchedMoment(this.#source);
    fetched.startOver(head);
    const forgotten = this.isAt(head.revision) ? this.forgotten : undefined;
    const keep = () => {
      if (forgotten === this.forgotten) this.putMissing(fetched);
    };
    return { fetched, keep };
  }

  /** Called where a commit is sent. */
  expect(commit: OwnCommit): void {
    this.#onTheirWay.push(commit);
  }

  /** Called where a commit that is expected was made, or was not. */
  settle(commit: OwnCommit, isWritten: boolean): void {
    if (isWritten) this.#advanceOver(commit);
    this.#onTheirWay = this.#onTheirWay.filter((other) => other !== commit);
  }

  #advanceOver({ from, to, writes }: OwnCommit): void {
    if (!this.isAt(from.revision) || from === to) return;
    this.advance(writes);
    this.head = to;
  }

  forget(): void {
    this.head = undefined;
  }
}

/** Whether the events between tell all that was changed, but for records. Older versions do not count their commits, nor rebuilds. */
function tellsAll({ head, isAfter }: News, from: Head): boolean {
  const missed = head.position - from.position;
  return (
    isAfter &&
    head.revision.commits - from.revision.commits === head.counts.commits - from.counts.commits &&
    head.counts.rebuilds === from.counts.rebuilds &&
    missed >= 0 &&
    missed <= maxMissed
  );
}
