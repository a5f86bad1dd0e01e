/** By which the events of an aggregate have different sequences, and older nodes find them. Gone once a migration is finished. */
export const sequenceIndex = "events_aggregate_type_aggregate_id_sequence_key";

/**
 * Each entry brings a store from the schema version of its index to the next. One that was released never changes: a later
 * form is a new entry. Only what databases that speak PostgreSQL's language have in common: tables, keys and indexes.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE portcullis.head (
    id SMALLINT PRIMARY KEY,
    position BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    commits BIGINT NOT NULL
  );
  INSERT INTO portcullis.head VALUES (1, 0, 0, 0);
  CREATE TABLE portcullis.writers (
    id UUID PRIMARY KEY,
    last_commit BIGINT NOT NULL,
    committed_at BIGINT NOT NULL
  );
  CREATE TABLE portcullis.events (
    position BIGINT PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, sequence)
  );
  CREATE TABLE portcullis.aggregates (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (type, id)
  );
  CREATE TABLE portcullis.keys (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    PRIMARY KEY (kind, value)
  );
  CREATE TABLE portcullis.records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (kind, id)
  );
  CREATE INDEX records_expires_at ON portcullis.records (expires_at)`,
  "ALTER TABLE portcullis.head ADD COLUMN commit_id UUID",
  // A node of an older version that still writes leaves the digest of the state before, so it says of which version it is.
  `ALTER TABLE portcullis.aggregates ADD COLUMN digest TEXT;
  ALTER TABLE portcullis.aggregates ADD COLUMN digest_version BIGINT`,
  // Nodes of the version before leave the new columns out, and do not count their commits in `head`. What they leave is filled in by
  // `finish`. The index finds pages of a list, which are in the order of bytes on every engine: the primary key has the order of the database.
  `ALTER TABLE portcullis.events ADD COLUMN previous BIGINT;
  ALTER TABLE portcullis.aggregates ADD COLUMN position BIGINT;
  ALTER TABLE portcullis.aggregates ADD COLUMN position_version BIGINT;
  CREATE INDEX aggregates_by_bytes ON portcullis.aggregates (type, id COLLATE "C");
  ALTER TABLE portcullis.head ADD COLUMN counted_commits BIGINT NOT NULL DEFAULT 0;
  ALTER TABLE portcullis.head ADD COLUMN record_commits BIGINT NOT NULL DEFAULT 0;
  ALTER TABLE portcullis.head ADD COLUMN rebuilds BIGINT NOT NULL DEFAULT 0;
  ALTER TABLE portcullis.head ADD COLUMN recent_commits UUID[] NOT NULL DEFAULT '{}'`,
  // Nodes of the version before leave these out, and nobody can tell later. Their events are read as appended one by one. The keys that
  // begin with a text are found in the order of bytes, as on every engine.
  `ALTER TABLE portcullis.events ADD COLUMN append_position BIGINT;
  ALTER TABLE portcullis.events ADD COLUMN cause TEXT;
  CREATE INDEX keys_by_bytes ON portcullis.keys (kind, value COLLATE "C")`,
];
