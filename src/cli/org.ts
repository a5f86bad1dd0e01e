import { Command } from "commander";
import { print, printList } from "./output.ts";
import { type StoreCommandOptions, storeSubcommand, withDirectory } from "./store-command.ts";

export function orgCommand(): Command {
  const org = new Command("org").description("organizations");

  org.addCommand(
    storeSubcommand("add", "add an organization")
      .argument("<name>")
      .option("--id <id>", "id of the organization (default: a new one)")
      .action(async (name: string, options: StoreCommandOptions & { id?: string }) => {
        const added = await withDirectory(options, (directory) => directory.addOrganization(name, options.id));
        print(options, { json: { id: added.id, name }, text: `added organization ${added.id}` });
      }),
  );

  org.addCommand(
    storeSubcommand("list", "list the organizations").action(async (options: StoreCommandOptions) => {
      const all = await withDirectory(options, (directory) => directory.listOrganizations());
      const rows = all.map(({ id, name, isDefault, loginPolicy }) => ({
        id,
        name,
        isDefault,
        hasOwnPolicy: !!loginPolicy,
      }));
      printList(options, rows, {
        ID: ({ id }) => id,
        NAME: ({ name }) => name,
        "LOGIN POLICY": ({ hasOwnPolicy }) => (hasOwnPolicy ? "its own" : "inherited"),
      });
    }),
  );

  org.addCommand(
    storeSubcommand("remove", "remove an organization; its id is never reused")
      .argument("<id>")
      .action(async (id: string, options: StoreCommandOptions) => {
        await withDirectory(options, (directory) => directory.removeOrganization(id));
        print(options, { json: { id }, text: `removed organization ${id}` });
      }),
  );

  return org;
}
