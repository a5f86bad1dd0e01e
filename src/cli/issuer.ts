import { Command } from "commander";
import { publishedKeys, readIssuerKeys, rotateSigningKey } from "../application/issuer-keys.ts";
import { generateIssuerKeys } from "../auth/issuer/generate-keys.ts";
import { formatInstant, print, printList } from "./output.ts";
import { type StoreCommandOptions, storeSubcommand, withStore } from "./store-command.ts";

export function issuerCommand(): Command {
  const issuer = new Command("issuer").description("signing keys of the built-in OpenID issuer");

  issuer.addCommand(
    storeSubcommand("rotate-key", "sign ID tokens with a new key; earlier keys stay published for one day")
      .option(
        "--at-once",
        "drop the earlier keys now, for example after a leak: everything they signed becomes invalid",
      )
      .action(async (options: StoreCommandOptions & { atOnce?: boolean }) => {
        const fresh = await generateIssuerKeys(Date.now());
        const keys = await withStore(options, (store) =>
          rotateSigningKey(store, { fresh, atOnce: options.atOnce === true }),
        );
        const kid = keys.signing[0]?.kid;
        print(options, { json: { kid, published: keys.signing.length }, text: `key ${kid} signs new ID tokens` });
      }),
  );

  issuer.addCommand(
    storeSubcommand("list-keys", "list the published keys, the current one first").action(
      async (options: StoreCommandOptions) => {
        const keys = await withStore(options, readIssuerKeys);
        const rows = (keys === undefined ? [] : publishedKeys(keys, Date.now())).map(
          ({ kid, createdAt, replacedAt }) => ({
            kid,
            created: formatInstant(createdAt),
            replaced: replacedAt === undefined ? null : formatInstant(replacedAt),
          }),
        );
        printList(options, rows, {
          KEY: ({ kid }) => kid,
          CREATED: ({ created }) => created,
          REPLACED: ({ replaced }) => replaced ?? "signs",
        });
      },
    ),
  );

  return issuer;
}
