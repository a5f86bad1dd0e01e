/** Marks a SQLite file as ours, in its header ("Port" in ASCII). */
export const applicationId = 0x506f7274;

/**
 * Each entry brings a store from the schema version of its index to the next. One that was released never changes: a later
 * form is a new entry.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    version INTEGER NOT NULL,
    payload TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    UNIQUE (aggregate_type, aggregate_id, sequence)
  ) STRICT;
  CREATE TABLE aggregates (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (type, id)
  ) STRICT;
  CREATE TABLE keys (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    PRIMARY KEY (kind, value)
  ) STRICT, WITHOUT ROWID;`,
  `CREATE TABLE records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX records_expires_at ON records (expires_at) WHERE expires_at IS NOT NULL;`,
  // A table of their own: a process of an older version that still writes needs the columns of aggregates as they are. It leaves
  // the digest of the state before, so each says of which version it is.
  `CREATE TABLE state_digests (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (type, id)
  ) STRICT, WITHOUT ROWID;`,
  // Processes of the version before leave the new columns out. What they leave is filled in by `finish`. Afterwards they can still change
  // records, so triggers count that; the same for what is changed by hand.
  `ALTER TABLE events ADD COLUMN previous INTEGER;
  ALTER TABLE aggregates ADD COLUMN digest TEXT;
  ALTER TABLE aggregates ADD COLUMN digest_version INTEGER;
  ALTER TABLE aggregates ADD COLUMN position INTEGER;
  ALTER TABLE aggregates ADD COLUMN position_version INTEGER;
  UPDATE aggregates SET digest = old.digest, digest_version = old.version
    FROM state_digests AS old WHERE old.type = aggregates.type AND old.id = aggregates.id;
  CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    record_commits INTEGER NOT NULL,
    rebuilds INTEGER NOT NULL
  ) STRICT;
  INSERT INTO head VALUES (1, 0, 0);
  CREATE TRIGGER count_put AFTER INSERT ON records BEGIN UPDATE head SET record_commits = record_commits + 1; END;
  CREATE TRIGGER count_change AFTER UPDATE ON records BEGIN UPDATE head SET record_commits = record_commits + 1; END;
  CREATE TRIGGER count_removal AFTER DELETE ON records BEGIN UPDATE head SET record_commits = record_commits + 1; END;`,
  // Processes of the version before leave these out, and nobody can tell later. Their events are read as appended one by one.
  `ALTER TABLE events ADD COLUMN append_position INTEGER;
  ALTER TABLE events ADD COLUMN cause TEXT;`,
];

/** The newest. */
export const schemaVersion = migrations.length;
