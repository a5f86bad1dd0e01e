import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, type OwnServer, query, untilLogged } from "../fixtures/postgres.ts";
import { killAll } from "./database-processes.ts";

/** A streaming replica of a server, without which that one acknowledges no commit. */
export class Replica implements AsyncDisposable {
  readonly #root = mkdtempSync(join(tmpdir(), "portcullis-replica-"));
  #process: ChildProcess | undefined;
  url = "";

  /** Stops the primary, copies it, and starts both. */
  static async start(primary: OwnServer): Promise<Replica> {
    const replica = new Replica();
    try {
      await replica.#start(primary);
      return replica;
    } catch (error) {
      await replica[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Makes it a primary. */
  async promote(): Promise<void> {
    await query(this.url, "SELECT pg_promote()");
  }

  async #start(primary: OwnServer): Promise<void> {
    const { rows } = await query(
      primary.url,
      `SELECT current_setting('data_directory') AS directory, setting AS programs
        FROM pg_config WHERE name = 'BINDIR'`,
    );
    const [{ directory, programs } = { directory: "", programs: "" }] = rows;
    await primary.kill("SIGINT");
    const data = join(this.#root, "data");
    // With its owners and rights, on which PostgreSQL insists.
    run("cp", "-a", directory, data);
    run("chown", `--reference=${directory}`, this.#root);
    writeFileSync(join(data, "standby.signal"), "");
    await primary.start({ synchronous_standby_names: "*", wal_sender_timeout: "0" });
    this.url = await this.#spawn({ programs, data, primary });
    await this.#untilSynchronous(primary);
  }

  async #spawn(options: {
    readonly programs: string;
    readonly data: string;
    readonly primary: OwnServer;
  }): Promise<string> {
    const url = new URL(options.primary.url);
    const settings = {
      listen_addresses: url.hostname,
      primary_conninfo: `host=${url.hostname} port=${url.port} user=${url.username}`,
      wal_retrieve_retry_interval: "100ms",
      unix_socket_directories: "",
    };
    url.port = String(await freePort());
    const flags = Object.entries({ ...settings, port: url.port }).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
    const user = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const server = spawn(join(options.programs, "postgres"), ["-D", options.data, ...flags], {
      ...user,
      cwd: this.#root,
      env: {},
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = server;
    process.once("exit", this.#kill);
    await untilLogged(server, "ready to accept read-only connections");
    return url.href;
  }

  /** A commit waits for the replica, so one that ends has found it. */
  async #untilSynchronous(primary: OwnServer): Promise<void> {
    await query(primary.url, "CREATE TABLE replicated ()");
  }

  readonly #kill = () => {
    this.#process?.kill("SIGKILL");
    rmSync(this.#root, { recursive: true, force: true });
  };

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("exit", this.#kill);
    if (this.#process?.pid !== undefined && this.#process.exitCode === null) await killAll(this.#process.pid);
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} failed: ${stderr}`);
}
