import { type AggregateRef, type ChangesPage, instanceRef, type Store } from "../store/store.ts";
import type { Subject } from "./applied-policy.ts";

/** One who waits for events. */
export interface Follower {
  /** Whose events it waits for; absent: those of the instance and of every organization. The instance's always count. */
  readonly subjects?: readonly Subject[];
  /** Called after such events were recorded. */
  stir(): void;
  /** Called once where the store cannot be followed. Nothing is called after it. */
  fail(reason: unknown): void;
}

const pageSize = 500;

/**
 * Tells followers about events of the instance and of organizations. All of them share what is asked of the store, and nobody is woken
 * for what others follow. Nothing is asked while nobody follows.
 */
export class ChangeFeed {
  readonly #store: Pick<Store, "read" | "changes" | "changed">;
  readonly #followers = new Set<Follower>();
  /** Those of one organization, by its id. */
  readonly #byOrganization = new Map<string, Set<Follower>>();
  #run: { readonly ready: Promise<void>; readonly end: AbortController } | undefined;
  #head = 0;

  constructor(store: Pick<Store, "read" | "changes" | "changed">) {
    this.#store = store;
  }

  /** Followers were stirred for all events up to this position. */
  get head(): number {
    return this.#head;
  }

  /** Resolves when the follower is stirred for every event that a read does not show which begins now. */
  async join(follower: Follower): Promise<void> {
    this.#followers.add(follower);
    for (const { type, id } of follower.subjects ?? []) {
      if (type === "instance") continue;
      const others = this.#byOrganization.get(id) ?? new Set();
      this.#byOrganization.set(id, others.add(follower));
    }
    this.#run ??= this.#start();
    await this.#run.ready;
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
    for (const { id } of follower.subjects ?? []) {
      const others = this.#byOrganization.get(id);
      others?.delete(follower);
      if (others?.size === 0) this.#byOrganization.delete(id);
    }
    if (this.#followers.size > 0) return;
    this.#run?.end.abort();
    this.#run = undefined;
  }

  #start() {
    const end = new AbortController();
    const ready = this.#store.read([]).then(({ position }) => {
      this.#head = Math.max(this.#head, position);
    });
    ready.then(() => this.#follow(end.signal)).catch((reason: unknown) => this.#fail(reason, end.signal));
    return { ready, end };
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#store.changed(this.#head, { signal });
      const types = ["instance", "organization"] as const;
      const page = await this.#store.changes({ after: this.#head, types, limit: pageSize });
      if (!signal.aborted) this.#tell(page);
    }
  }

  #tell({ events, through }: ChangesPage<"instance" | "organization">): void {
    this.#head = through;
    if (events.length === 0) return;
    const stirred = new Set<Follower>();
    const isOfInstance = events.some(({ ref }) => ref.type === instanceRef.type);
    for (const follower of this.#followers) {
      if (isOfInstance || follower.subjects === undefined) stirred.add(follower);
    }
    for (const { ref } of events as readonly { readonly ref: AggregateRef }[]) {
      for (const follower of this.#byOrganization.get(ref.id) ?? []) stirred.add(follower);
    }
    for (const follower of stirred) follower.stir();
  }

  #fail(reason: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    const followers = [...this.#followers];
    for (const follower of followers) this.leave(follower);
    for (const follower of followers) follower.fail(reason);
  }
}
