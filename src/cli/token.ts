import { Command } from "commander";
import { digestToken, generateToken } from "../auth/token.ts";
import {
  formatInstant,
  parseSpan,
  print,
  printExpiring,
  type RemovalOptions,
  removalSubcommand,
  type SharedOptions,
  storeSubcommand,
  withDirectory,
} from "./shared.ts";

export function tokenCommand(): Command {
  const token = new Command("token").description("personal access tokens");

  token.addCommand(
    storeSubcommand("create", "create a token and print it, this once")
      .requiredOption("--user <name>", "whose token it is")
      .option("--expires <span>", "after which it is no longer accepted, such as 90m, 12h or 30d (default: never)")
      .action(async (options: SharedOptions & { user: string; expires?: string }) => {
        const created = generateToken();
        const expiresAt = options.expires === undefined ? undefined : Date.now() + parseSpan(options.expires);
        const id = await withDirectory(options, (directory) =>
          directory.createToken({
            userName: options.user,
            digest: digestToken(created),
            ...(expiresAt !== undefined && { expiresAt }),
          }),
        );
        const expires = expiresAt === undefined ? null : formatInstant(expiresAt);
        print(options, { json: { id, token: created, expires }, text: created });
      }),
  );

  token.addCommand(
    storeSubcommand("list", "list the tokens, without their secrets").action(async (options: SharedOptions) => {
      const all = await withDirectory(options, (directory) => directory.listTokens());
      printExpiring(
        options,
        all.map(({ tokenId, ...rest }) => ({ ...rest, id: tokenId })),
      );
    }),
  );

  token.addCommand(
    removalSubcommand("revoke", "revoke a token; it is refused from the next call on")
      .argument("<id>")
      .action(async (id: string, options: RemovalOptions) => {
        await withDirectory(options, (directory) => directory.revokeToken(id, options));
        print(options, { json: { id }, text: `revoked token ${id}` });
      }),
  );

  return token;
}
