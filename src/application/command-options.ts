import type { Clock, Store } from "../store/store.ts";
import type { IdSource } from "./ids.ts";

/** What commands on organizations, users, credentials and clients need. */
export interface CommandOptions {
  readonly store: Store;
  readonly newId: IdSource;
  /** Recorded with every event as its author. */
  readonly actor: string;
  /** Decides which tokens and keys have expired. Default: the machine's clock. */
  readonly clock?: Clock;
}
