import type { Command } from "commander";
import { createIdSource } from "../application/ids.ts";
import { endIssued, keepIssued, listCredentials, readCopyMark } from "../application/restored-copy.ts";
import type { Store } from "../store/store.ts";
import { expiringColumns, toExpiringRow } from "./expiry.ts";
import { type Columns, formatInstant, formatTable, print } from "./output.ts";
import { type StoreCommandOptions, storeSubcommand, withStore } from "./store-command.ts";
import { formatGrant } from "./user.ts";

interface RestoreOptions extends StoreCommandOptions {
  readonly keepCredentials?: boolean;
  readonly force?: boolean;
}

export function restoreSubcommand(): Command {
  return storeSubcommand(
    "restore",
    "decide on a copy before it is served: end the sessions, codes and issued tokens that come back with it, and list the credentials that stay",
  )
    .option("--keep-credentials", "end nothing, although some of them may have ended since the copy was made")
    .option(
      "--force",
      "even if the store has no mark of store backup, such as a database from pg_restore or a copy by an older version",
    )
    .action((options: RestoreOptions) =>
      withStore(options, (store) => (options.keepCredentials ? keep(store, options) : end(store, options))),
    );
}

async function keep(store: Store, options: RestoreOptions): Promise<void> {
  const copy = await keepIssued(store);
  if (copy === undefined) return printNothing(options);
  const madeAt = formatInstant(copy.madeAt);
  print(options, { json: { decided: "keep", madeAt }, text: `kept everything as it was at ${madeAt}` });
}

async function end(store: Store, options: RestoreOptions): Promise<void> {
  const copy = await readCopyMark(store);
  if (copy === undefined && !options.force) return printNothing(options);
  await endIssued(store);
  const madeAt = copy === undefined ? null : formatInstant(copy.madeAt);
  const { json, text } = await listStaying(store);
  const then = madeAt === null ? "when the copy was made" : `at ${madeAt}`;
  const lines = [
    "ended all sessions, codes and issued tokens, and removed the issuer's keys",
    `The following is as it was ${then}. Take away again what was taken away or replaced since.`,
    ...text,
  ];
  print(options, { json: { decided: "end", madeAt, ...json }, text: lines.join("\n\n") });
}

function printNothing(options: RestoreOptions): void {
  const text =
    "there is nothing to decide: the store has no mark of store backup, or someone has decided. --force ends sessions, codes and issued tokens all the same";
  print(options, { json: { decided: null, madeAt: null }, text });
}

/** The users and credentials that stay valid, as JSON and as tables. */
async function listStaying(store: Store) {
  const options = { store, newId: createIdSource(Date.now), actor: "cli" };
  const found = await listCredentials(options, Date.now());
  const users = found.users.map(({ passwordSetAt, secretSetAt, ...user }) => ({
    ...user,
    passwordSet: toInstant(passwordSetAt),
    secretSet: toInstant(secretSetAt),
  }));
  const tokens = found.tokens.map(({ tokenId, ...token }) => toExpiringRow({ ...token, id: tokenId }));
  const keys = found.keys.map(({ keyId, ...key }) => toExpiringRow({ ...key, id: keyId }));
  const clients = found.clients.map(({ id, name, isConfidential }) => ({ id, name, isConfidential }));
  const text = [
    tableOf(users, {
      USER: ({ name }) => name,
      ROLES: ({ roles }) => roles.map(formatGrant).join(" "),
      "PASSWORD SET": ({ passwordSet }) => passwordSet ?? "no password",
      "SECRET SET": ({ secretSet }) => secretSet ?? "no secret",
    }),
    tableOf(tokens, { TOKEN: ({ id }) => id, ...expiringColumns }),
    tableOf(keys, { KEY: ({ id }) => id, ...expiringColumns }),
    tableOf(clients, {
      APPLICATION: ({ id }) => id,
      NAME: ({ name }) => name,
      SECRET: ({ isConfidential }) => (isConfidential ? "yes" : "no"),
    }),
  ];
  return { json: { users, tokens, keys, clients }, text: text.flat() };
}

const toInstant = (at: number | undefined): string | null => (at === undefined ? null : formatInstant(at));

const tableOf = <Row>(rows: readonly Row[], columns: Columns<Row>): readonly string[] =>
  rows.length === 0 ? [] : [formatTable(rows, columns)];
