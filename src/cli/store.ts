import { Command } from "commander";
import { print, type SharedOptions, storeSubcommand, withStore } from "./shared.ts";

export function storeCommand(): Command {
  const store = new Command("store").description("the store itself");

  store.addCommand(
    storeSubcommand(
      "verify",
      "fold every event again and compare with what is kept; exit code 1 where they differ",
    ).action(async (options: SharedOptions) => {
      const found = await withStore(options, (opened) => opened.verify());
      const sound = `the store is sound: ${found.events} events, ${found.aggregates} aggregates`;
      print(options, { json: found, text: found.problems.length === 0 ? sound : found.problems.join("\n") });
      if (found.problems.length > 0) process.exitCode = 1;
    }),
  );

  store.addCommand(
    storeSubcommand("rebuild", "make the kept state anew from the events").action(async (options: SharedOptions) => {
      const { events, aggregates } = await withStore(options, (opened) => opened.rebuild());
      print(options, { json: { events, aggregates }, text: `rebuilt ${aggregates} aggregates from ${events} events` });
    }),
  );

  return store;
}
