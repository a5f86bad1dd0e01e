import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { isLeftOut } from "../interop/left-out.ts";
import { launchBrowser } from "./browser.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/getting-started.md"), "utf8");
const blocks = [...page.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = "", text = ""]) => ({
  language,
  text: text.trimEnd(),
}));

/** What two runs of the tutorial do not have in common. */
const withoutChance = (text: string): string =>
  text
    .replaceAll("\r", "")
    .replace(/\b\d{18}\b/g, "ID")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/^(x-request-id|Date): .*$/gm, "$1")
    .replace(/(?<=http:\/\/127\.0\.0\.1:)\d+/g, "PORT")
    .trim();

const { browser, missing } = await launchBrowser();

describe.skipIf(isLeftOut(missing))("docs/getting-started.md", () => {
  let folder: string;
  let shell: Shell;
  const programs: ChildProcess[] = [];

  // What the commands make is made in a folder of its own, which has the checkout's files.
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-tutorial-"));
    for (const name of readdirSync(root)) if (name !== "data") symlinkSync(join(root, name), join(folder, name));
    shell = new Shell(folder);
  });
  afterEach(async () => {
    await Promise.all([shell.close(), ...programs.splice(0).map(stop)]);
    rmSync(folder, { recursive: true, force: true });
  });
  afterAll(async () => {
    await browser?.close();
  });

  /** Starts a program that goes on, as in a terminal of its own. Resolves to its first line with an address. */
  async function startProgram(command: string, env: Readonly<Record<string, string>>): Promise<string> {
    const program = spawn("bash", ["-c", command], {
      cwd: folder,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    programs.push(program);
    for await (const line of createInterface(program.stdout)) {
      if (!line.includes("http://")) continue;
      program.stdout.resume();
      return line;
    }
    throw new Error(`ended: ${command}`);
  }

  it("does what it says, to the end", async () => {
    let server = "";
    let application = "";
    let password = "";
    let output = "";
    for (const { language, text } of blocks) {
      const command = text.replace("npm ci && ", "").replaceAll("http://127.0.0.1:8080", server);
      if (language !== "sh") {
        if (text !== blocks.at(-1)?.text) expect(withoutChance(output)).toBe(withoutChance(text));
      } else if (command.includes("npm start")) {
        await Promise.all(programs.splice(0).map(stop));
        const env = { PORTCULLIS_LISTEN: "127.0.0.1:0", PORTCULLIS_LOG_LEVEL: "error" };
        server = addressIn(await startProgram(command, env));
      } else if (command.includes("examples/sign-in.ts")) {
        const [last = "", ...before] = command.split("\n").reverse();
        await shell.run(before.reverse().join("\n"));
        const clientId = await shell.run('echo "$PORTCULLIS_CLIENT_ID"');
        const env = { PORT: "0", PORTCULLIS_URL: server, PORTCULLIS_CLIENT_ID: clientId.trim() };
        output = await startProgram(last, env);
        application = addressIn(output);
      } else {
        output = await shell.run(command);
        if (command.includes("user password")) password = output.trim();
      }
    }

    const tab = await (browser as Browser).newPage();
    tab.setDefaultTimeout(15_000);
    await tab.goto(application);
    await tab.getByRole("link", { name: "Sign in" }).click();
    await tab.getByLabel("User name", { exact: true }).fill("grace");
    await tab.getByLabel("Password", { exact: true }).fill(password);
    await tab.getByRole("button", { name: "Sign in" }).click();
    await tab.waitForURL(`${application}/callback?**`);
    const shown = await tab.locator("body").innerText();
    expect(shown.split(/\n+/).filter((line) => line !== "")).toEqual(blocks.at(-1)?.text.split("\n"));
    await tab.close();
  });
});

const addressIn = (line: string): string => new URL(/http:[^\s;]+/.exec(line)?.[0] ?? "").origin;

/** As Ctrl-C does: it goes to all processes of the terminal. */
async function stop(program: ChildProcess): Promise<void> {
  if (program.exitCode !== null || program.signalCode !== null) return;
  const ended = once(program, "exit");
  process.kill(-(program.pid ?? 0), "SIGINT");
  await ended;
}

/** One bash for all commands, so that they share their variables. */
class Shell {
  readonly #bash;
  #output = "";

  constructor(cwd: string) {
    this.#bash = spawn("bash", { cwd, stdio: ["pipe", "pipe", "ignore"] });
    this.#bash.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
    });
  }

  /** Resolves to what the commands wrote to standard output. */
  async run(commands: string): Promise<string> {
    const end = "\n--- end ---\n";
    this.#output = "";
    this.#bash.stdin.write(`${commands}\nprintf '${end.replaceAll("\n", "\\n")}'\n`);
    while (!this.#output.endsWith(end)) await once(this.#bash.stdout, "data");
    return this.#output.slice(0, -end.length);
  }

  async close(): Promise<void> {
    const ended = once(this.#bash, "exit");
    this.#bash.stdin.end();
    await ended;
  }
}
