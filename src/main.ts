import { Command, CommanderError, type Option } from "commander";
import { clientCommand } from "./cli/client.ts";
import { configCommand } from "./cli/config.ts";
import { issuerCommand } from "./cli/issuer.ts";
import { keyCommand } from "./cli/key.ts";
import { misspeltVariables } from "./cli/misspelt-variables.ts";
import { openapiCommand } from "./cli/openapi.ts";
import { orgCommand } from "./cli/org.ts";
import { serveCommand } from "./cli/serve.ts";
import { isOfStore, serverSettings } from "./cli/settings.ts";
import { storeCommand } from "./cli/store.ts";
import { tokenCommand } from "./cli/token.ts";
import { userCommand } from "./cli/user.ts";
import { ConfigError } from "./config.ts";
import { DirectoryError } from "./domain/directory/errors.ts";
import { version } from "./process/version.ts";
import { StoreError } from "./store/errors.ts";

const program = new Command("portcullis")
  .description("A login-policy service on gRPC, gRPC-Web, Connect and REST JSON.")
  .version(version)
  .addCommand(serveCommand())
  .addCommand(orgCommand())
  .addCommand(userCommand())
  .addCommand(tokenCommand())
  .addCommand(keyCommand())
  .addCommand(clientCommand())
  .addCommand(issuerCommand())
  .addCommand(storeCommand())
  .addCommand(openapiCommand())
  .addCommand(configCommand());

/**
 * A usage error is its sentence and one line of where the help is, and throws instead of exiting, so that there is one place to
 * exit. Help begins with the options of the command itself.
 */
function prepare(command: Command, path: string): void {
  command.showHelpAfterError(`See: ${path} --help`).exitOverride();
  (command.options as Option[]).sort((one, other) => rankOf(one) - rankOf(other));
  for (const child of command.commands) prepare(child, `${path} ${child.name()}`);
}
const rankOf = (option: Option): number =>
  isOfStore(option) ? 3 : ["--force", "--json"].indexOf(option.long ?? "") + 1;
prepare(program, program.name());

// Who reads the output may stop early, as head does.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  process.stderr.write(`portcullis: the output cannot be written (${error.code})\n`);
  process.exit(1);
});

/** What was given where nothing is expected may be a secret, so it is not repeated. */
function hideValues(command: Command): void {
  command.configureOutput({
    outputError: (text, write) =>
      write(
        text
          .replace(/(unknown option '[^'=]*)=.*'/s, "$1=…'")
          .replace(/(too many arguments .* but got \d+): .*/s, "$1.\n"),
      ),
  });
  command.commands.forEach(hideValues);
}
hideValues(program);

// An empty variable is one that was not set, as in shells and compose files, and so is a switch that is off there.
for (const [name, value = ""] of Object.entries(process.env)) {
  if (!name.startsWith("PORTCULLIS_")) continue;
  if (value === "" || (isSwitch(name) && /^(false|0|no|off)$/i.test(value))) delete process.env[name];
}

// What is changed in another store than the one that was meant cannot always be taken back. A server has its log for it.
program.hook("preAction", (_, command) => {
  if (command.name() === "serve") return;
  for (const sentence of misspeltVariables(process.env)) process.stderr.write(`portcullis: ${sentence}\n`);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Whether the flag of a variable takes no value: then any value turns it on. */
function isSwitch(variable: string): boolean {
  return serverSettings.some(({ env, flag }) => env === variable && !/[[<]/.test(flag));
}

function exitCodeOf(error: unknown): number {
  // Commander has printed what it has to say; its own exit code for a usage error is 1.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof ConfigError || error instanceof DirectoryError || error instanceof StoreError) {
    process.stderr.write(`portcullis: ${error.message}\n`);
    return 1;
  }
  // Not one of the failures that are expected: a bug, which needs its stack.
  process.stderr.write(`portcullis: ${error instanceof Error ? error.stack : error}\n`);
  return 1;
}
