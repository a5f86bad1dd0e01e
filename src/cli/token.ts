import { Command } from "commander";
import { digestToken, generateToken } from "../auth/token.ts";
import { ConfigError } from "../config.ts";
import { formatInstant, print, type SharedOptions, storeSubcommand, table, withDirectory } from "./shared.ts";

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
      const rows = all.map(({ tokenId, userName, createdAt, expiresAt }) => ({
        id: tokenId,
        user: userName,
        created: formatInstant(createdAt),
        expires: expiresAt === undefined ? null : formatInstant(expiresAt),
      }));
      print(options, {
        json: rows,
        text: table(
          ["ID", "USER", "CREATED", "EXPIRES"],
          rows.map(({ id, user, created, expires }) => [id, user, created, expires ?? "never"]),
        ),
      });
    }),
  );

  token.addCommand(
    storeSubcommand("revoke", "revoke a token; it is refused from the next call on")
      .argument("<id>")
      .action(async (id: string, options: SharedOptions) => {
        await withDirectory(options, (directory) => directory.revokeToken(id));
        print(options, { json: { id }, text: `revoked token ${id}` });
      }),
  );

  return token;
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a span such as `30d`: a whole number of seconds, minutes, hours or days, at most 100 years. */
function parseSpan(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,9})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (unitMs[unit ?? ""] ?? Number.NaN);
  if (!(ms <= 36_525 * 86_400_000)) {
    throw new ConfigError(`--expires must be a span such as 90m, 12h or 30d, at most 100 years, and not "${text}"`);
  }
  return ms;
}
