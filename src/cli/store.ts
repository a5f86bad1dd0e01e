import { Command } from "commander";
import { backupStore, finishStore, migrateStore } from "../store/open.ts";
import { print } from "./output.ts";
import { restoreSubcommand } from "./restore.ts";
import {
  existingStoreOf,
  migratableStoreOf,
  type StoreCommandOptions,
  storeSubcommand,
  unfinished,
  withNewStore,
  withStore,
} from "./store-command.ts";
import { exportTo, importFrom, openInput, standardStream } from "./transfer.ts";

export function storeCommand(): Command {
  const store = new Command("store").description("check, move and maintain the store");

  store.addCommand(
    storeSubcommand(
      "verify",
      "fold all events again and compare with the stored state; exit code 1 if they differ",
    ).action(async (options: StoreCommandOptions) => {
      const found = await withStore(options, (opened) => opened.verify());
      const sound = `the store is sound: ${found.events} events, ${found.aggregates} aggregates`;
      print(options, { json: found, text: found.problems.length === 0 ? sound : found.problems.join("\n") });
      if (found.problems.length === 0) return;
      process.stderr.write(
        'portcullis: "store rebuild" makes the stored state again from the events; only a backup restores damaged events\n',
      );
      process.exitCode = 1;
    }),
  );

  store.addCommand(
    storeSubcommand("rebuild", "make the stored state again from the events").action(
      async (options: StoreCommandOptions) => {
        const { events, aggregates } = await withStore(options, (opened) => opened.rebuild());
        print(options, {
          json: { events, aggregates },
          text: `rebuilt ${aggregates} aggregates from ${events} events`,
        });
      },
    ),
  );

  store.addCommand(
    storeSubcommand(
      "export",
      "write all events as JSON lines, as of one moment; records, such as sessions, are left out",
    )
      .argument("[file]", "a new file that only you can read; - is standard output", standardStream)
      .action(async (file: string, options: StoreCommandOptions) => {
        const { events, aggregates } = await withStore(options, (opened) => exportTo(file, opened));
        if (file === standardStream) return;
        const text = `exported ${events} events of ${aggregates} aggregates to ${file}`;
        print(options, { json: { events, aggregates, file }, text });
      }),
  );

  store.addCommand(
    storeSubcommand("import", "read an export into an empty store, and check that it comes to the same state")
      .argument("[file]", "what to read; - is standard input", standardStream)
      .action(async (file: string, options: StoreCommandOptions) => {
        const input = await openInput(file);
        const { events, aggregates } = await withNewStore(options, (opened) => importFrom(input, opened));
        const text = `imported ${events} events of ${aggregates} aggregates, in the same state`;
        print(options, { json: { events, aggregates }, text });
      }),
  );

  store.addCommand(
    storeSubcommand("backup", "copy a SQLite file, which may be in use, to a new store, as of one moment")
      .argument("<file>", "a new file that only you can read")
      .action(async (file: string, options: StoreCommandOptions) => {
        await backupStore({ ...existingStoreOf(options), to: file });
        print(options, { json: { file }, text: `copied the store to ${file}` });
      }),
  );

  store.addCommand(restoreSubcommand());

  store.addCommand(
    storeSubcommand("migrate", "bring the schema to the newest version, as serve does if it may")
      .option(
        "--finish",
        "when no older version runs any more: also fill in what they left out, and remove what only they need",
      )
      .action(async (options: StoreCommandOptions & { readonly finish?: boolean }) => {
        const store = migratableStoreOf(options);
        const { from, to, isFinished } = await migrateStore(store);
        const changed = options.finish === true && (await finishStore(store));
        const brought = `brought the schema from version ${from} to version ${to}`;
        print(options, {
          json: { from, to, finished: changed || isFinished },
          text:
            [
              ...(from === to ? [] : [brought]),
              ...(changed ? ["finished the migration: older versions can no longer write"] : []),
              ...(changed || isFinished ? [] : [unfinished]),
            ].join("\n") || `the schema has version ${to}, the newest, and is finished: nothing to do`,
        });
      }),
  );

  return store;
}
