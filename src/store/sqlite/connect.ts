import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";

// No connection has a busy timeout: SQLite would block the thread. retry.ts waits without that.
const timeout = 0;

/** A connection that cannot write. */
export function connectReadOnly(path: string): DatabaseSync {
  return configured(new DatabaseSync(path, { readOnly: true, timeout }));
}

/**
 * A connection for the header: it sees the main file only, takes no lock and leaves nothing beside the file. node:fs cannot read the header instead:
 * to close any descriptor of a file drops the locks that SQLite holds on it in this process.
 */
export function connectImmutable(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = "?immutable=1";
  const db = new DatabaseSync(url, { readOnly: true, timeout });
  // A process that is killed while it brings the write-ahead log into the file may leave it shorter than its header says, until the next
  // one goes on. SQLite looks past that only when it may also write a schema.
  db.enableDefensive(false);
  db.exec("PRAGMA trusted_schema = OFF; PRAGMA writable_schema = ON");
  return db;
}

/** A connection whose commits are on disk when they return. Throws where SQLite did not agree to that. */
export function connectForWriting(path: string): DatabaseSync {
  const db = configured(new DatabaseSync(path, { timeout }));
  try {
    // The last two matter only on macOS, where fsync does not reach the disk.
    db.exec("PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
    db.exec("PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 67108864");
    const full = 2;
    if (readPragma(db, "synchronous") !== full) throw new Error("SQLite did not accept synchronous = FULL");
    if (readPragma(db, "journal_mode") !== "wal") throw new Error("SQLite did not accept journal_mode = WAL");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * A connection to a file that no one else can know. Its commits go into that one file, and it needs no shared memory, which some file
 * systems lack.
 */
export function connectAlone(path: string): DatabaseSync {
  const db = configured(new DatabaseSync(path, { timeout }));
  db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE");
  return db;
}

type Pragmas = { application_id: number; user_version: number; synchronous: number; journal_mode: string };

export function readPragma<Name extends keyof Pragmas>(db: DatabaseSync, name: Name): Pragmas[Name] {
  return db.prepare(`PRAGMA ${name}`).get()?.[name] as Pragmas[Name];
}

/** A file from elsewhere must not run code of its choice, and a malformed page is found when it is read. */
function configured(db: DatabaseSync): DatabaseSync {
  db.exec("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON");
  db.enableDefensive(true);
  return db;
}
