/** What the soak tells its server. */
export type Order = "measure" | "stop";

/** Where the server listens; its first message. */
export interface Ready {
  readonly echoUrl: string;
  readonly realUrl: string;
  /** A token of the admin of the real server. */
  readonly token: string;
}

/** What the server holds, after garbage has been collected. */
export interface Measures {
  /** Bytes of V8's heap. */
  readonly heapBytes: number;
  /** Bytes of buffers outside of the heap. */
  readonly bufferBytes: number;
  /** Handles that keep the process alive, by their kind, timers among them. */
  readonly resources: Readonly<Record<string, number>>;
  /** Objects that can be reached, by their class. */
  readonly objects: Readonly<Record<string, number>>;
  /** Open files of the process, sockets among them; absent where the system does not tell. */
  readonly files?: number;
  /** Failures that the server reported as its own, since it started. */
  readonly failures: number;
}
