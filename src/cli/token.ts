import { Command } from "commander";
import { digestToken, generateToken } from "../auth/token.ts";
import { expiryAfter, printExpiring } from "./expiry.ts";
import { formatInstant, print } from "./output.ts";
import {
  type RemovalOptions,
  removalSubcommand,
  type StoreCommandOptions,
  storeSubcommand,
  withCredentials,
} from "./store-command.ts";

export function tokenCommand(): Command {
  const token = new Command("token").description("personal access tokens");

  token.addCommand(
    storeSubcommand("create", "create a token and print it once")
      .requiredOption("--user <name>", "user that the token belongs to")
      .option("--expires <span>", "time until the token expires, such as 90m, 12h or 30d (default: never)")
      .action(async (options: StoreCommandOptions & { user: string; expires?: string }) => {
        const created = generateToken();
        const expiry = expiryAfter(options.expires);
        const id = await withCredentials(options, (credentials) =>
          credentials.createToken({ userName: options.user, digest: digestToken(created), ...expiry }),
        );
        const expires = expiry.expiresAt === undefined ? null : formatInstant(expiry.expiresAt);
        print(options, { json: { id, token: created, expires }, text: created });
      }),
  );

  token.addCommand(
    storeSubcommand("list", "list the tokens, without their secrets").action(async (options: StoreCommandOptions) => {
      const all = await withCredentials(options, (credentials) => credentials.listTokens());
      printExpiring(
        options,
        all.map(({ tokenId, ...rest }) => ({ ...rest, id: tokenId })),
      );
    }),
  );

  token.addCommand(
    removalSubcommand("revoke", "revoke a token; the next request with it is refused")
      .argument("<id>")
      .action(async (id: string, options: RemovalOptions) => {
        await withCredentials(options, (credentials) => credentials.revokeToken(id, options));
        print(options, { json: { id }, text: `revoked token ${id}` });
      }),
  );

  return token;
}
