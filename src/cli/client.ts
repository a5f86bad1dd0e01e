import { Command } from "commander";
import { createClients } from "../application/clients.ts";
import { digestToken, generateSecret } from "../auth/token.ts";
import { asCommandLine, print, type SharedOptions, storeSubcommand, table, withStore } from "./shared.ts";

interface AddOptions extends SharedOptions {
  readonly redirectUri: readonly string[];
  readonly confidential?: boolean;
}

export function clientCommand(): Command {
  const client = new Command("client").description("applications that sign people in at the built-in issuer");

  client.addCommand(
    storeSubcommand("add", "register an application and print its client id")
      .argument("<name>", "what people read when they sign in")
      .requiredOption(
        "--redirect-uri <uri>",
        "where people return to with a code; repeat it for several. Compared exactly, but for the port on this machine",
        (uri: string, before: readonly string[] = []) => [...before, uri],
      )
      .option("--confidential", "for an application on a server: it gets a secret, printed this once")
      .action(async (name: string, options: AddOptions) => {
        const secret = options.confidential ? generateSecret() : undefined;
        const id = await withStore(options, (store) =>
          createClients(asCommandLine(store)).add({
            name,
            redirectUris: options.redirectUri,
            ...(secret !== undefined && { secretDigest: digestToken(secret) }),
          }),
        );
        const lines = [`client id: ${id}`, ...(secret === undefined ? [] : [`client secret: ${secret}`])];
        print(options, { json: { id, name, secret: secret ?? null }, text: lines.join("\n") });
      }),
  );

  client.addCommand(
    storeSubcommand("list", "list the applications").action(async (options: SharedOptions) => {
      const all = await withStore(options, (store) => createClients(asCommandLine(store)).list());
      print(options, {
        json: all,
        text: table(
          ["ID", "NAME", "SECRET", "REDIRECT URIS"],
          all.map(({ id, name, isConfidential, redirectUris }) => [
            id,
            name,
            isConfidential ? "yes" : "no",
            redirectUris.join(" "),
          ]),
        ),
      });
    }),
  );

  client.addCommand(
    storeSubcommand("remove", "remove an application; its tokens are refused from the next call on")
      .argument("<id>")
      .action(async (id: string, options: SharedOptions) => {
        await withStore(options, (store) => createClients(asCommandLine(store)).remove(id));
        print(options, { json: { id }, text: `removed application ${id}` });
      }),
  );

  return client;
}
