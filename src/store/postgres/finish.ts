import { randomUUID } from "node:crypto";
import type { ClientBase } from "pg";
import { StoreError } from "../errors.ts";
import { MissingDigest, type StateWithoutDigest } from "../shared/missing-digest.ts";
import type { Projection } from "../store.ts";
import { codeOf } from "./errors.ts";
import { readHead } from "./head.ts";
import { selectEventsOf } from "./history.ts";
import { sequenceIndex } from "./migrations.ts";
import { changeSchema, type Run } from "./schema.ts";
import { fromText, toText } from "./text.ts";

// The end of a migration, once no node of an older version runs. Until then, the events have an index that only those need. They write
// neither the newest columns nor the links between events.

/** Whether nothing is left that only older versions need. */
export async function isFinished(client: ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ is_nullable: string }>(
    `SELECT is_nullable FROM information_schema.columns WHERE table_schema OPERATOR(pg_catalog.=) 'portcullis'
      AND table_name OPERATOR(pg_catalog.=) 'events' AND column_name OPERATOR(pg_catalog.=) 'previous'`,
  );
  return rows[0]?.is_nullable === "NO";
}

/** Removes what only older versions need: they cannot write events any more. */
export const removeLeftovers = `ALTER TABLE portcullis.events ALTER COLUMN previous SET NOT NULL;
  ALTER TABLE portcullis.events DROP CONSTRAINT IF EXISTS events_are_linked;
  ALTER TABLE portcullis.events DROP CONSTRAINT IF EXISTS ${sequenceIndex}`;

/**
 * Fills in what older versions left out, and removes what only they need. Nodes of this version read and write meanwhile: no step keeps
 * them waiting for long. Each step can be repeated, so a run that was cut off is completed by the next one. Resolves to whether there was
 * anything to do. Throws StoreError `conflict` where an older node wrote meanwhile, and `unavailable` where the user may not.
 */
export async function finish(
  client: ClientBase,
  { name, projection }: { readonly name: string; readonly projection: Projection },
): Promise<boolean> {
  if (await isFinished(client)) return false;
  try {
    await refuseOlderNodes(client, { name, after: await fillPositions(client) });
    await fillDigests(client, projection);
    await fillLinks(client);
    // With a valid constraint, SET NOT NULL need not look at every event while it keeps the nodes out.
    await changeSchema(client, (run) => run("ALTER TABLE portcullis.events VALIDATE CONSTRAINT events_are_linked"));
    await changeSchema(client, (run) => run(removeLeftovers));
    return true;
  } catch (error) {
    // insufficient_privilege
    if (codeOf(error) !== "42501") throw error;
    const text = `This user may not change the schema of the store ${name}: run "portcullis store migrate --finish" as a user who may.`;
    throw new StoreError("unavailable", text, error);
  }
}

/** A fraction of a second's work, for which every writer waits. */
const positionsAtOnce = 5000;

const lockHead = "SELECT position FROM portcullis.head FOR UPDATE";

/**
 * Fills in where the last event of each aggregate is, and removes digests of earlier states, which older versions
 * left. Resolves to the position of the newest event before that.
 */
async function fillPositions(client: ClientBase): Promise<number> {
  const { position } = await readHead(client);
  for (let after: readonly [type: string, id: string] | undefined = ["", ""]; after !== undefined; ) {
    after = await fillSomePositions(client, after);
  }
  return position;
}

/** Resolves to the last of the aggregates, or to undefined where there are no more. */
async function fillSomePositions(
  client: ClientBase,
  after: readonly [type: string, id: string],
): Promise<readonly [type: string, id: string] | undefined> {
  return changeSchema(client, async (run) => {
    await run(lockHead);
    const { rows } = await run(
      `WITH page AS (
        SELECT type, id, version FROM portcullis.aggregates
          WHERE position_version IS DISTINCT FROM version AND (type, id) > ($1, $2) ORDER BY type, id LIMIT $3
      ), filled AS (
        UPDATE portcullis.aggregates AS a SET position = e.position, position_version = page.version,
            digest = CASE WHEN a.digest_version < page.version THEN NULL ELSE a.digest END
          FROM page JOIN portcullis.events AS e
            ON e.aggregate_type = page.type AND e.aggregate_id = page.id AND e.sequence = page.version
          WHERE a.type = page.type AND a.id = page.id
      )
      SELECT type, id FROM page ORDER BY type DESC, id DESC LIMIT 1`,
      [...after, positionsAtOnce],
    );
    const [last] = rows as { readonly type: string; readonly id: string }[];
    if (last === undefined) return undefined;
    await countAsRebuild(run);
    return [last.type, last.id];
  });
}

/** As after a rebuild, nodes must not go on with what they have in memory: positions are missing there, and states were not checked. */
const countAsRebuild = (run: Run) =>
  run(
    `UPDATE portcullis.head SET commits = commits + 1, commit_id = $1, counted_commits = counted_commits + 1,
      rebuilds = rebuilds + 1`,
    [randomUUID()],
  );

/** From here on, no event is written without its link. Nodes of this version know every position. */
async function refuseOlderNodes(
  client: ClientBase,
  { name, after }: { readonly name: string; readonly after: number },
): Promise<void> {
  await changeSchema(client, async (run) => {
    await run(lockHead);
    const { rows: written } = await run(
      `SELECT 1 FROM portcullis.events AS e
        JOIN portcullis.aggregates AS a ON a.type = e.aggregate_type AND a.id = e.aggregate_id
        WHERE e.position > $1 AND e.previous IS NULL AND a.position_version IS DISTINCT FROM a.version LIMIT 1`,
      [after],
    );
    if (written.length > 0) {
      const text = `A node of an older version wrote to the store ${name} meanwhile. Stop it, and run this again.`;
      throw new StoreError("conflict", text);
    }
    await run(`ALTER TABLE portcullis.events DROP CONSTRAINT IF EXISTS events_are_linked;
      ALTER TABLE portcullis.events ADD CONSTRAINT events_are_linked CHECK (previous IS NOT NULL) NOT VALID`);
  });
}

const digestsAtOnce = 1000;

/** Fills in the digests of states that older versions wrote. Writers wait only while a page of them is written. */
async function fillDigests(client: ClientBase, projection: Projection): Promise<void> {
  for (let after: readonly [type: string, id: string] | undefined = ["", ""]; after !== undefined; ) {
    after = await fillSomeDigests(client, { after, projection });
  }
}

/** Resolves to the last of the aggregates, or to undefined where there are no more. */
async function fillSomeDigests(
  client: ClientBase,
  { after, projection }: { readonly after: readonly [type: string, id: string]; readonly projection: Projection },
): Promise<readonly [type: string, id: string] | undefined> {
  return changeSchema(client, async (run) => {
    const { rows } = await run(
      `SELECT type, id, version::float8, state FROM portcullis.aggregates
        WHERE digest IS NULL AND (type, id) > ($1, $2) ORDER BY type, id LIMIT $3`,
      [...after, digestsAtOnce],
    );
    const page = (rows as StateWithoutDigest[]).map((row) => ({ ...row, id: fromText(row.id) }));
    const last = page.at(-1);
    if (last === undefined) return undefined;
    const digests = await digestsOf(client, page, projection);
    await run(lockHead);
    // A node that wrote meanwhile wrote a digest too.
    const { rowCount } = await run(
      `UPDATE portcullis.aggregates AS a SET digest = filled.digest, digest_version = a.version
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS filled (type, id, version, digest)
        WHERE a.type = filled.type AND a.id = filled.id AND a.version = filled.version AND a.digest IS NULL`,
      [
        digests.map(({ type }) => type),
        digests.map(({ id }) => toText(id)),
        digests.map(({ version }) => version),
        digests.map(({ digest }) => digest),
      ],
    );
    if (rowCount !== 0) await countAsRebuild(run);
    return [last.type, toText(last.id)];
  });
}

async function digestsOf(client: ClientBase, page: readonly StateWithoutDigest[], projection: Projection) {
  const nameOf = ({ type, id }: { readonly type: string; readonly id: string }) => `${type}\n${id}`;
  const missing = new Map(page.map((stored) => [nameOf(stored), new MissingDigest(stored, projection)]));
  for await (const events of selectEventsOf(client, page)) {
    for (const event of events) missing.get(nameOf(event.ref))?.add(event);
  }
  return page.flatMap((stored) => {
    const digest = missing.get(nameOf(stored))?.digest;
    return digest === undefined ? [] : [{ ...stored, digest }];
  });
}

const linksAtOnce = 20_000;

/** Fills in the links that are missing. Nobody waits for it: events do not change otherwise. */
async function fillLinks(client: ClientBase): Promise<void> {
  const { position: last } = await readHead(client);
  for (let after = 0; after < last; after += linksAtOnce) {
    await changeSchema(client, (run) =>
      run(
        `UPDATE portcullis.events AS e SET previous = coalesce((
          SELECT b.position FROM portcullis.events AS b
          WHERE b.aggregate_type = e.aggregate_type AND b.aggregate_id = e.aggregate_id AND b.sequence = e.sequence - 1
        ), 0) WHERE position > $1 AND position <= $2 AND previous IS NULL`,
        [after, after + linksAtOnce],
      ),
    );
  }
}
