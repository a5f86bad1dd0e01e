import { readFileSync } from "node:fs";
import { Command } from "commander";
import { keyClientId, looksLikeId } from "../auth/issued.ts";
import { checkNewPassword, hashPassword } from "../auth/issuer/password.ts";
import { digestToken, generateSecret } from "../auth/token.ts";
import { ConfigError, readSecretFile } from "../config.ts";
import { type RoleScope, roles } from "../domain/directory/roles.ts";
import type { RoleGrant } from "../domain/events.ts";
import { print, printList } from "./output.ts";
import {
  type RemovalOptions,
  removalSubcommand,
  type StoreCommandOptions,
  storeSubcommand,
  withCredentials,
  withDirectory,
} from "./store-command.ts";

interface RoleOptions extends StoreCommandOptions {
  readonly role: string;
  readonly org?: string;
}

export function userCommand(): Command {
  const user = new Command("user").description("users and their roles");

  user.addCommand(
    withRole(storeSubcommand("add", "add a user: a person or a program"), {
      role: "first role of the user",
      org: "home organization of the user (default: the default organization)",
    }).action(async (name: string, options: RoleOptions) => {
      const added = await withDirectory(options, (directory) => directory.addUser(wanted(name, options)));
      const { id, organizationId } = added;
      print(options, { json: { id, name, organizationId, roles: added.roles }, text: `added user ${id}` });
    }),
  );

  user.addCommand(
    withRole(storeSubcommand("grant", "grant a role"), ofGrant).action(async (name: string, options: RoleOptions) => {
      await withDirectory(options, (directory) => directory.grantRole(wanted(name, options)));
      print(options, { json: { name, role: options.role }, text: `granted ${options.role} to ${name}` });
    }),
  );

  user.addCommand(
    withRole(removalSubcommand("revoke", "revoke a role"), ofGrant).action(
      async (name: string, options: RoleOptions & RemovalOptions) => {
        await withDirectory(options, (directory) => directory.revokeRole(wanted(name, options), options));
        print(options, { json: { name, role: options.role }, text: `revoked ${options.role} from ${name}` });
      },
    ),
  );

  user.addCommand(
    storeSubcommand("list", "list the users").action(async (options: StoreCommandOptions) => {
      const all = await withDirectory(options, (directory) => directory.listUsers());
      const rows = all.map(({ id, name, organizationId, roles }) => ({ id, name, organizationId, roles }));
      printList(options, rows, {
        ID: ({ id }) => id,
        NAME: ({ name }) => name,
        "HOME ORGANIZATION": ({ organizationId }) => organizationId,
        ROLES: ({ roles }) => roles.map(formatGrant).join(" "),
      });
    }),
  );

  user.addCommand(
    removalSubcommand("remove", "remove a user with all roles and tokens")
      .argument("<name>")
      .action(async (name: string, options: RemovalOptions) => {
        await withDirectory(options, (directory) => directory.removeUser(name, options));
        print(options, { json: { name }, text: `removed user ${name}` });
      }),
  );

  user.addCommand(
    storeSubcommand("password", "set the password of a user: create one and print it once, or read it from a file")
      .argument("<name>")
      .option("--file <file>", "file that contains the password; - reads standard input")
      .action(async (name: string, options: StoreCommandOptions & { file?: string }) => {
        const given = options.file === undefined ? undefined : readPassword(options.file);
        const problem = given === undefined ? undefined : checkNewPassword(given);
        if (problem !== undefined) throw new ConfigError(problem);
        const password = given ?? generateSecret();
        const hash = await hashPassword(password);
        await withCredentials(options, (credentials) => credentials.setPassword({ userName: name, hash }));
        if (given === undefined) print(options, { json: { name, password }, text: password });
        else print(options, { json: { name }, text: `set the password of ${name}` });
      }),
  );

  user.addCommand(
    storeSubcommand("secret", "create a secret for the client credentials of a service user, and print it once")
      .argument("<name>")
      .action(async (name: string, options: StoreCommandOptions) => {
        const clientSecret = generateSecret();
        const digest = digestToken(clientSecret);
        const userId = await withCredentials(options, (credentials) =>
          credentials.setSecret({ userName: name, digest }),
        );
        // Some clients do not encode the id in forms and in Basic authentication.
        const isSendable = /^[A-Za-z0-9._~@-]+$/.test(name) && !looksLikeId(name) && name !== keyClientId;
        const clientId = isSendable ? name : userId;
        print(options, {
          json: { clientId, clientSecret },
          text: `client id: ${clientId}\nclient secret: ${clientSecret}`,
        });
      }),
  );

  return user;
}

const ofGrant = {
  role: "role",
  org: "organization that the role is on (default: the default organization); not for roles on the whole instance",
};

/** Adds the name of a user, `--role` and `--org` to a command, and a list of all roles to its help. */
function withRole(command: Command, { role, org }: { readonly role: string; readonly org: string }): Command {
  const of = (scope: RoleScope) =>
    Object.entries(roles)
      .filter(([, role]) => role.scope === scope)
      .map(([role, { permissions }]) => `  ${role.padEnd(31)}${permissions.join(" ") || "(none)"}`.trimEnd());
  const lines = [
    "Roles on the whole instance, with their permissions:",
    ...of("instance"),
    "",
    "Roles on one organization:",
    ...of("organization"),
  ];
  return command
    .argument("<name>")
    .requiredOption("--role <role>", `${role}, from the list below`)
    .option("--org <id>", org)
    .addHelpText("after", `\n${lines.join("\n")}`);
}

function readPassword(file: string): string {
  if (file !== "-") return readSecretFile("--file", file);
  try {
    return readFileSync(0, "utf8").replace(/\r?\n$/, "");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new ConfigError(`standard input cannot be read (${reason})`, { cause });
  }
}

function wanted(name: string, { role, org }: RoleOptions) {
  return { name, role, ...(org !== undefined && { organizationId: org }) };
}

export function formatGrant({ role, organizationId }: RoleGrant): string {
  return organizationId === undefined ? role : `${role}@${organizationId}`;
}
