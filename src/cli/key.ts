import { rmSync, writeFileSync } from "node:fs";
import { Command } from "commander";
import type { Credentials } from "../application/credentials.ts";
import { createKeyFile, type KeyFile } from "../auth/issuer/key-file.ts";
import { ConfigError } from "../config.ts";
import { expiryAfter, printExpiring } from "./expiry.ts";
import { print } from "./output.ts";
import {
  type RemovalOptions,
  removalSubcommand,
  type StoreCommandOptions,
  storeSubcommand,
  withCredentials,
} from "./store-command.ts";

export function keyCommand(): Command {
  const key = new Command("key").description("keys that service users exchange for access tokens");

  key.addCommand(
    storeSubcommand("create", "create a key and print its key file, in ZITADEL's format, once")
      .requiredOption("--user <name>", "user that gets the key")
      .option("--out <file>", "write the key file to a new file that only you can read, instead of printing it")
      .option("--expires <span>", "time until the key expires, such as 12h or 90d (default: never)")
      .action(async (options: StoreCommandOptions & { user: string; out?: string; expires?: string }) => {
        const { user, out, expires } = options;
        const wanted = { userName: user, ...expiryAfter(expires) };
        const created = await withCredentials(options, async (credentials) => {
          const file = await createKeyFile(credentials, wanted);
          if (out !== undefined) await writeKeyFile(file, out, credentials);
          return file;
        });
        if (out === undefined) return print(options, { json: created, text: JSON.stringify(created, null, 2) });
        const { keyId, userId } = created;
        print(options, { json: { keyId, userId, file: out }, text: `wrote key ${keyId} to ${out}` });
      }),
  );

  key.addCommand(
    storeSubcommand("list", "list the keys").action(async (options: StoreCommandOptions) => {
      const all = await withCredentials(options, (credentials) => credentials.listKeys());
      printExpiring(
        options,
        all.map(({ keyId, ...rest }) => ({ ...rest, id: keyId })),
      );
    }),
  );

  key.addCommand(
    removalSubcommand("remove", "remove a key; the next request with one of its tokens is refused")
      .argument("<id>")
      .action(async (id: string, options: RemovalOptions) => {
        await withCredentials(options, (credentials) => credentials.removeKey(id, options));
        print(options, { json: { id }, text: `removed key ${id}` });
      }),
  );

  return key;
}

/** Writes a key file. If that fails, removes the key, which could never be used. */
async function writeKeyFile(file: KeyFile, path: string, credentials: Credentials): Promise<void> {
  try {
    writeFileSync(path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600, flag: "wx", flush: true });
  } catch (cause) {
    await credentials.removeKey(file.keyId, { force: true });
    const reason = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    // A full disk leaves a part of the file.
    if (reason === "ENOSPC") rmSync(path, { force: true });
    throw new ConfigError(`the key cannot be written to ${path} (${reason}), so no key was created`, { cause });
  }
}
