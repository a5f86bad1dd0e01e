import { rmSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import { createCredentials } from "../application/credentials.ts";
import { createKeyFile } from "../auth/issuer/key-file.ts";
import { ConfigError } from "../config.ts";
import {
  asCommandLine,
  parseSpan,
  print,
  printExpiring,
  type RemovalOptions,
  removalSubcommand,
  type SharedOptions,
  storeSubcommand,
  withStore,
} from "./shared.ts";

export function keyCommand(): Command {
  const key = new Command("key").description("keys that service users get tokens with");

  key.addCommand(
    storeSubcommand("create", "create a key and print its file in ZITADEL's form, this once")
      .requiredOption("--user <name>", "whose key it is")
      .option("--out <file>", "write it to a new file that only you can read, instead of printing it")
      .option("--expires <span>", "after which it gets no more tokens, such as 12h or 90d (default: never)")
      .action(async (options: SharedOptions & { user: string; out?: string; expires?: string }) => {
        const expiresAt = options.expires === undefined ? undefined : Date.now() + parseSpan(options.expires);
        const created = await withStore(options, async (store) => {
          const file = await createKeyFile(createCredentials(asCommandLine(store)), {
            userName: options.user,
            ...(expiresAt !== undefined && { expiresAt }),
          });
          if (options.out !== undefined) {
            try {
              writeFileSync(options.out, `${JSON.stringify(file, null, 2)}\n`, {
                mode: 0o600,
                flag: "wx",
                flush: true,
              });
            } catch (cause) {
              // Nobody will ever have it.
              await createCredentials(asCommandLine(store)).removeKey(file.keyId, { force: true });
              const reason = (cause as NodeJS.ErrnoException).code ?? "unknown error";
              // A disk that became full leaves a part of it.
              if (reason === "ENOSPC") rmSync(options.out, { force: true });
              throw new ConfigError(`the key cannot be written to ${options.out} (${reason}), so none was made`, {
                cause,
              });
            }
          }
          return file;
        });
        if (options.out === undefined) print(options, { json: created, text: JSON.stringify(created, null, 2) });
        else {
          const { keyId, userId } = created;
          print(options, { json: { keyId, userId, file: options.out }, text: `wrote key ${keyId} to ${options.out}` });
        }
      }),
  );

  key.addCommand(
    storeSubcommand("list", "list the keys").action(async (options: SharedOptions) => {
      const all = await withStore(options, (store) => createCredentials(asCommandLine(store)).listKeys());
      printExpiring(
        options,
        all.map(({ keyId, ...rest }) => ({ ...rest, id: keyId })),
      );
    }),
  );

  key.addCommand(
    removalSubcommand("remove", "remove a key; the tokens it got are refused from the next call on")
      .argument("<id>")
      .action(async (id: string, options: RemovalOptions) => {
        await withStore(options, (store) => createCredentials(asCommandLine(store)).removeKey(id, options));
        print(options, { json: { id }, text: `removed key ${id}` });
      }),
  );

  return key;
}
