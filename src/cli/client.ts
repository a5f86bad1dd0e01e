import { Command } from "commander";
import { digestToken, generateSecret } from "../auth/token.ts";
import { print, printList } from "./output.ts";
import { type StoreCommandOptions, storeSubcommand, withClients } from "./store-command.ts";

interface AddOptions extends StoreCommandOptions {
  readonly redirectUri: readonly string[];
  readonly confidential?: boolean;
}

export function clientCommand(): Command {
  const client = new Command("client").description("applications that sign people in at the built-in issuer");

  client.addCommand(
    storeSubcommand("add", "register an application and print its client id")
      .argument("<name>", "name that the sign-in page shows")
      .requiredOption(
        "--redirect-uri <uri>",
        "URI that receives the code after the sign-in; repeat the option for several. Compared exactly, except for the port of a loopback address",
        (uri: string, before: readonly string[] = []) => [...before, uri],
      )
      .option("--confidential", "for an application that runs on a server: create a secret and print it once")
      .action(async (name: string, options: AddOptions) => {
        const secret = options.confidential ? generateSecret() : undefined;
        const id = await withClients(options, (clients) =>
          clients.add({
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
    storeSubcommand("list", "list the applications").action(async (options: StoreCommandOptions) => {
      const all = await withClients(options, (clients) => clients.list());
      printList(options, all, {
        ID: ({ id }) => id,
        NAME: ({ name }) => name,
        SECRET: ({ isConfidential }) => (isConfidential ? "yes" : "no"),
        "REDIRECT URIS": ({ redirectUris }) => redirectUris.join(" "),
      });
    }),
  );

  client.addCommand(
    storeSubcommand("remove", "remove an application; the next request with one of its tokens is refused")
      .argument("<id>")
      .action(async (id: string, options: StoreCommandOptions) => {
        await withClients(options, (clients) => clients.remove(id));
        print(options, { json: { id }, text: `removed application ${id}` });
      }),
  );

  return client;
}
