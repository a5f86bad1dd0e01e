import { Command } from "commander";
import { print, table } from "./output.ts";
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
      print(options, {
        json: all.map(({ id, name, isDefault, loginPolicy }) => ({ id, name, isDefault, hasOwnPolicy: !!loginPolicy })),
        text: table(
          ["ID", "NAME", "LOGIN POLICY"],
          all.map(({ id, name, loginPolicy }) => [id, name, loginPolicy ? "its own" : "inherited"]),
        ),
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
