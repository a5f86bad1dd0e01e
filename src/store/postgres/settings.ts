/** How a store in PostgreSQL is used. */
export interface PostgresSettings {
  /** The most connections that one process opens. */
  readonly poolSize: number;
  /** How long the server may take for a statement, waiting for locks included. */
  readonly statementTimeoutMs: number;
  /** How long to wait for a connection: for each host, and for a free one of the pool. */
  readonly connectTimeoutMs: number;
}

/** People try again after about that long. */
const time = { default: 5000, least: 10, most: 600_000, unit: "milliseconds" } as const;

/** The default of each, and its limits. */
export const postgresSettings = {
  // A node reads over one connection and writes over another. The rest are for lists, for the history, and for commits whose answers were lost.
  poolSize: { default: 4, least: 3, most: 1000 },
  statementTimeoutMs: time,
  connectTimeoutMs: time,
} as const satisfies Readonly<Record<keyof PostgresSettings, object>>;
