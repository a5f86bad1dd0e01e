import { Command, CommanderError, type Option } from "commander";
import { clientCommand } from "./cli/client.ts";
import { configCommand } from "./cli/config.ts";
import { issuerCommand } from "./cli/issuer.ts";
import { keyCommand } from "./cli/key.ts";
import { misspeltVariables } from "./cli/misspelt-variables.ts";
import { openapiCommand } from "./cli/openapi.ts";
import { orgCommand } from "./cli/org.ts";
import { policyCommand } from "./cli/policy/command.ts";
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
  .addCommand(policyCommand())
  .addCommand(openapiCommand())
  .addCommand(configCommand());

/**
 * Lets a usage error throw instead of exit, and print its sentence and the command for help. Sorts the help so that it begins
 * with the command's own options.
 */
function prepare(command: Command, path: string): void {
  command.showHelpAfterError(`See: ${path} --help`).exitOverride();
  (command.options as Option[]).sort((one, other) => rankOf(one) - rankOf(other));
  for (const child of command.commands) prepare(child, `${path} ${child.name()}`);
}
const rankOf = (option: Option): number =>
  isOfStore(option) ? 3 : ["--force", "--json"].indexOf(option.long ?? "") + 1;
prepare(program, program.name());

// A reader of the output, such as head, may stop early.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  process.stderr.write(`portcullis: the output cannot be written (${error.code})\n`);
  process.exit(1);
});

/** Keeps unexpected values out of error messages: they may be secrets. */
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

// Shells and compose files often set a variable to nothing. That counts as not set, and so does a switch set to false.
for (const [name, value = ""] of Object.entries(process.env)) {
  if (!name.startsWith("PORTCULLIS_")) continue;
  if (value === "" || (isSwitch(name) && /^(false|0|no|off)$/i.test(value))) delete process.env[name];
}

// A misspelt variable could make a command change the wrong store. A server writes these warnings to its log.
program.hook("preAction", (_, command) => {
  if (command.name() === "serve") return;
  for (const sentence of misspeltVariables(process.env)) process.stderr.write(`portcullis: ${sentence}\n`);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Whether the flag of a variable takes no value. Commander turns it on for any value of the variable. */
function isSwitch(variable: string): boolean {
  return serverSettings.some(({ env, flag }) => env === variable && !/[[<]/.test(flag));
}

function exitCodeOf(error: unknown): number {
  // Commander has printed its message. Its own exit code for a usage error is 1.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof ConfigError || error instanceof DirectoryError || error instanceof StoreError) {
    process.stderr.write(`portcullis: ${error.message}\n`);
    return 1;
  }
  // A bug.
  process.stderr.write(`portcullis: ${error instanceof Error ? error.stack : error}\n`);
  return 1;
}
