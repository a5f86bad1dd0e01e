import type { AggregateType } from "../../domain/events.ts";
import type { Projection } from "../store.ts";
import { AggregateFold, ProblemList } from "./fold.ts";
import type { EventPart } from "./history.ts";
import { digestOf, type StoredState } from "./read-rows.ts";
import { isSameState } from "./verify.ts";

/** A state that an older version wrote, without a digest. */
export type StateWithoutDigest = Pick<StoredState, "type" | "id" | "version" | "state">;

/** Folds the events of a state without a digest, up to its version. */
export class MissingDigest {
  readonly #stored: StateWithoutDigest;
  readonly #projection: Projection;
  readonly #fold: AggregateFold;

  constructor(stored: StateWithoutDigest, projection: Projection) {
    this.#stored = stored;
    this.#projection = projection;
    const ref = { type: stored.type as AggregateType, id: stored.id };
    this.#fold = new AggregateFold(ref, { projection, problems: new ProblemList() });
  }

  add(event: EventPart): void {
    this.#fold.add(event);
  }

  /**
   * The digest of the state that the events make. So a state that differs from them does not fit it, and is found to be damaged. Undefined
   * where events are missing or damaged: they say nothing about the state, and `verify` names them.
   */
  get digest(): string | undefined {
    const { snapshot, isBroken } = this.#fold;
    if (snapshot === undefined || isBroken) return undefined;
    const isSound =
      snapshot.version === this.#stored.version && isSameState(snapshot, this.#stored.state, this.#projection);
    if (isSound) return digestOf(this.#stored);
    return digestOf({ ...this.#stored, version: snapshot.version, state: JSON.stringify(snapshot.state) });
  }
}
