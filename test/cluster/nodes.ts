import { randomBytes } from "node:crypto";
import { type ServerProcess, startServer, TemporaryDirectory } from "../process/portcullis.ts";
import { endedWriter } from "./end-writer.ts";

type Env = Readonly<Record<string, string>>;
const isEach = (env: Env | readonly Env[]): env is readonly Env[] => Array.isArray(env);

interface NodeOptions {
  readonly store: string;
  /** That of the checkout, where it is not given. */
  readonly program: string | undefined;
  readonly token: string;
  readonly env: Env;
  readonly data: string;
}

/** A server of the cluster, which can be killed and started again. */
export class Node {
  readonly #options: NodeOptions;
  #server: Promise<ServerProcess>;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#server = this.#start();
  }

  /** Where it serves, once it does. */
  async url(): Promise<string> {
    return (await this.#server).url;
  }

  /** The end of its log. */
  async log(): Promise<string> {
    return (await this.#server).stderr.slice(-5000);
  }

  /** Kills it in the middle of what it does, and starts another one in its place. */
  async killAndRestart(): Promise<void> {
    const killed = await this.#server;
    // Whoever asks for the address from now on waits for the new one.
    this.#server = (async () => {
      await killed[Symbol.asyncDispose]();
      return this.#start();
    })();
    await this.#server;
  }

  /** Ends its thread that writes, where `end-writer.ts` is preloaded. Resolves when that has happened. */
  async endWriter(): Promise<void> {
    const server = await this.#server;
    const before = server.stderr.length;
    server.kill("SIGUSR2");
    await server.wroteErrors((stderr) => stderr.includes(endedWriter, before));
  }

  async stop(): Promise<void> {
    const server = await this.#server.catch(() => undefined);
    await server?.[Symbol.asyncDispose]();
  }

  #start(): Promise<ServerProcess> {
    const { data, store, token, env, program } = this.#options;
    return startServer({
      data,
      flags: ["--store", store],
      env: { ...env, PORTCULLIS_ADMIN_TOKEN: token },
      ...(program !== undefined && { program }),
    });
  }
}

/** Nodes with one admin. */
export class Nodes implements AsyncDisposable {
  readonly all: Node[] = [];
  readonly token = randomBytes(32).toString("hex");
  readonly #directory = new TemporaryDirectory();
  readonly #env: Env | readonly Env[];

  private constructor(env: Env | readonly Env[]) {
    this.#env = env;
  }

  /** Begins to start one more. */
  add(store: string, program?: string): Node {
    const { all, token } = this;
    const env = isEach(this.#env) ? (this.#env[all.length] ?? {}) : this.#env;
    const node = new Node({ store, token, env, program, data: this.#directory.join(String(all.length)) });
    all.push(node);
    return node;
  }

  /** Starts one for each location, all at once, with one environment or each its own: the first to come sets up the store. */
  static async start(stores: readonly string[], env: Env | readonly Env[] = {}): Promise<Nodes> {
    const nodes = new Nodes(env);
    for (const store of stores) nodes.add(store);
    try {
      await Promise.all(nodes.all.map((node) => node.url()));
      return nodes;
    } catch (error) {
      await nodes[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((node) => node.stop()));
    this.#directory[Symbol.dispose]();
  }
}
