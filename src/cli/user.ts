import { Command } from "commander";
import type { RoleGrant } from "../policy/events.ts";
import { print, type SharedOptions, storeSubcommand, table, withDirectory } from "./shared.ts";

interface RoleOptions extends SharedOptions {
  readonly role: string;
  readonly org?: string;
}

export function userCommand(): Command {
  const user = new Command("user").description("service users and their roles");

  user.addCommand(
    storeSubcommand("add", "add a service user")
      .argument("<name>")
      .requiredOption("--role <role>", "its first role, such as IAM_OWNER or ORG_OWNER")
      .option("--org <id>", "its home organization (default: the default one)")
      .action(async (name: string, options: RoleOptions) => {
        const added = await withDirectory(options, (directory) => directory.addUser(wanted(name, options)));
        const { id, organizationId } = added;
        print(options, { json: { id, name, organizationId, roles: added.roles }, text: `added user ${id}` });
      }),
  );

  user.addCommand(
    storeSubcommand("grant", "grant a role")
      .argument("<name>")
      .requiredOption("--role <role>", "the role")
      .option("--org <id>", "the organization it counts on (default: the default one; none for IAM roles)")
      .action(async (name: string, options: RoleOptions) => {
        await withDirectory(options, (directory) => directory.grantRole(wanted(name, options)));
        print(options, { json: { name, role: options.role }, text: `granted ${options.role} to ${name}` });
      }),
  );

  user.addCommand(
    storeSubcommand("revoke", "revoke a role")
      .argument("<name>")
      .requiredOption("--role <role>", "the role")
      .option("--org <id>", "the organization it counts on (default: the default one; none for IAM roles)")
      .action(async (name: string, options: RoleOptions) => {
        await withDirectory(options, (directory) => directory.revokeRole(wanted(name, options)));
        print(options, { json: { name, role: options.role }, text: `revoked ${options.role} from ${name}` });
      }),
  );

  user.addCommand(
    storeSubcommand("list", "list the users").action(async (options: SharedOptions) => {
      const all = await withDirectory(options, (directory) => directory.listUsers());
      print(options, {
        json: all.map(({ id, name, organizationId, roles }) => ({ id, name, organizationId, roles })),
        text: table(
          ["ID", "NAME", "HOME ORGANIZATION", "ROLES"],
          all.map(({ id, name, organizationId, roles }) => [
            id,
            name,
            organizationId,
            roles.map(formatGrant).join(" "),
          ]),
        ),
      });
    }),
  );

  user.addCommand(
    storeSubcommand("remove", "remove a user with all roles and tokens")
      .argument("<name>")
      .action(async (name: string, options: SharedOptions) => {
        await withDirectory(options, (directory) => directory.removeUser(name));
        print(options, { json: { name }, text: `removed user ${name}` });
      }),
  );

  return user;
}

function wanted(name: string, { role, org }: RoleOptions) {
  return { name, role, ...(org !== undefined && { organizationId: org }) };
}

function formatGrant({ role, organizationId }: RoleGrant): string {
  return organizationId === undefined ? role : `${role}@${organizationId}`;
}
