// The program itself, as a process of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const program = fileURLToPath(new URL("../../bin/portcullis.js", import.meta.url));

export interface ProcessOptions {
  /** The program, where it is not that of the checkout. */
  readonly program?: string;
  /** Beside what every program needs; nothing else of this process's environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The Node that runs it; by default the one that runs the tests. */
  readonly node?: string;
  /** A command that runs another one, such as strace with its flags. */
  readonly under?: readonly string[];
  /** The user it runs as, where the tests run as root. */
  readonly uid?: number;
}

/** How a process ended, and what it had written. */
export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const alive = new Set<ChildProcess>();
const directories = new Set<TemporaryDirectory>();
// For a test that timed out, whose disposals did not run.
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
  for (const directory of directories) directory[Symbol.dispose]();
});

/** A process that runs until it ends or is disposed of. */
export class PortcullisProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;

  constructor(args: readonly string[], options: ProcessOptions = {}) {
    const { under = [], node = process.execPath, cwd, uid, env = {} } = options;
    const [command = node, ...rest] = [...under, node, options.program ?? program, ...args];
    const inherited = Object.fromEntries(
      ["PATH", "HOME", "TMPDIR"].flatMap((name) => {
        const value = process.env[name];
        return value === undefined ? [] : [[name, value]];
      }),
    );
    const child = spawn(command, rest, {
      env: { ...inherited, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      ...(cwd !== undefined && { cwd }),
      ...(uid !== undefined && { uid, gid: uid }),
    });
    this.#child = child;
    alive.add(child);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (exitCode, signal) => {
        alive.delete(child);
        resolve({ exitCode, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
    this.ended.catch(() => alive.delete(child));
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** How it ended, once it has. Ends it and rejects where that takes longer. */
  async endedWithin(timeoutMs: number): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), timeoutMs);
    });
    const ended = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (ended !== undefined) return ended;
    this.kill("SIGKILL");
    throw new Error(`the process had not ended after ${timeoutMs} ms; it wrote:\n${this.stdout}${this.stderr}`);
  }

  /** Resolves with the first line on standard output, and rejects where it ends without one. */
  async firstLine(timeoutMs = 60_000): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        const look = () => {
          const end = this.stdout.indexOf("\n");
          if (end >= 0) resolve(this.stdout.slice(0, end));
        };
        this.#child.stdout?.on("data", look);
        look();
        this.ended.then(
          (ended) => reject(new Error(`it ended without a line: ${JSON.stringify(ended)}`)),
          (error: unknown) => reject(error),
        );
        timer = setTimeout(
          () => reject(new Error(`no line after ${timeoutMs} ms; it wrote:\n${this.stderr}`)),
          timeoutMs,
        );
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when standard error is as wanted, and rejects where the process ends before. */
  async wroteErrors(isWanted: (stderr: string) => boolean): Promise<void> {
    while (!isWanted(this.stderr)) {
      const more = once(this.#child.stderr ?? this.#child, "data").then(() => undefined);
      const ended = await Promise.race([more, this.ended]);
      if (ended !== undefined) throw new Error(`it ended before it wrote what was wanted: ${JSON.stringify(ended)}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.kill("SIGKILL");
    await this.ended.catch(() => {});
  }
}

/** Asks again and again until the answer is as wanted; the test's own time ends it. Returns that answer. */
export async function until<T>(ask: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (isWanted(answer)) return answer;
    // Leaves the processor to what is waited for.
    await pause(20);
  }
}

/** The lines of a log that tell of more than its start and its stop. */
export const complaintsIn = (stderr: string): readonly string[] =>
  stderr.split("\n").filter((line) => line !== "" && !/^\{"level":30,.*"msg":"(serving|stopped)"\}$/.test(line));

/** Runs a command to its end, which it must reach on its own. */
export function runCommand(
  args: readonly string[],
  { timeoutMs = 60_000, ...options }: ProcessOptions & { readonly timeoutMs?: number } = {},
): Promise<Ended> {
  return new PortcullisProcess(args, options).endedWithin(timeoutMs);
}

/** Runs a command with `--json` on a store, which must succeed, and resolves to what it printed. */
export async function runJson<T>(data: string, ...args: string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await runCommand([...args, "--data", data, "--json"]);
  if (exitCode !== 0) throw new Error(`portcullis ${args.join(" ")} ended with ${exitCode}: ${stderr}`);
  return JSON.parse(stdout);
}

export interface ServerOptions extends ProcessOptions {
  readonly data: string;
  /** Further flags of `serve`. */
  readonly flags?: readonly string[];
}

/** A server that is ready to answer. */
export class ServerProcess extends PortcullisProcess {
  readonly data: string;
  url = "";
  /** Where its one line says that the admin token is. */
  tokenPlace = "";

  constructor({ data, flags = [], ...options }: ServerOptions) {
    super(["serve", "--listen", "127.0.0.1:0", "--data", data, ...flags], options);
    this.data = data;
  }

  /** The content of `admin.token`. */
  get adminToken(): string {
    return readAdminToken(this.data);
  }

  async ready(): Promise<this> {
    const line = await this.firstLine();
    const [, url, place] = /^portcullis serves on (\S+); the admin token is (.+)$/.exec(line) ?? [];
    if (url === undefined || place === undefined) throw new Error(`not the line of a server: ${line}`);
    this.url = url;
    this.tokenPlace = place;
    return this;
  }

  /** Ends it with SIGTERM, which it must obey. */
  async stop(): Promise<Ended> {
    this.kill("SIGTERM");
    return this.endedWithin(30_000);
  }
}

/** Starts a server on a free port and resolves when it says that it serves. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const server = new ServerProcess(options);
  try {
    return await server.ready();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
}

export const readAdminToken = (data: string): string => readFileSync(join(data, "admin.token"), "utf8").trim();

/** A new directory, removed with all that is in it when it is disposed of. */
export class TemporaryDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "portcullis-process-"));

  constructor() {
    directories.add(this);
  }

  join(...names: string[]): string {
    return join(this.path, ...names);
  }

  [Symbol.dispose](): void {
    directories.delete(this);
    rmSync(this.path, { recursive: true, force: true, maxRetries: 3 });
  }
}
