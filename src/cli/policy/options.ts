import { Command, Option } from "commander";

/** The options of every command that calls a server about a policy. */
export interface PolicyOptions {
  readonly server: string;
  readonly tokenFile?: string;
  readonly org?: string;
  readonly json?: boolean;
}

/** The token that the first start of a server writes. */
export const defaultTokenFile = "data/admin.token";

export const connectionVariables = { server: "PORTCULLIS_SERVER", tokenFile: "PORTCULLIS_TOKEN_FILE" } as const;

export const policySubcommand = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .option("--org <id or name>", "organization whose policy is meant (default: the instance)")
    .addOption(
      new Option("--server <url>", "server to call").env(connectionVariables.server).default("http://127.0.0.1:8080"),
    )
    .addOption(
      new Option(
        "--token-file <file>",
        `file with the token (default: ${defaultTokenFile}, which is sent to a server on this machine only)`,
      ).env(connectionVariables.tokenFile),
    )
    .option("--json", "print one JSON value");
