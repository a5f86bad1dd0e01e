import { randomBytes } from "node:crypto";
import { type ServerProcess, startServer, TemporaryDirectory } from "../process/portcullis.ts";

interface NodeOptions {
  readonly store: string;
  /** That of the checkout, where it is not given. */
  readonly program: string | undefined;
  readonly token: string;
  readonly env: Readonly<Record<string, string>>;
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
  readonly #env: Readonly<Record<string, string>>;

  private constructor(env: Readonly<Record<string, string>>) {
    this.#env = env;
  }

  /** Begins to start one more. */
  add(store: string, program?: string): Node {
    const { all, token } = this;
    const node = new Node({ store, token, env: this.#env, program, data: this.#directory.join(String(all.length)) });
    all.push(node);
    return node;
  }

  /** Starts one for each location, all at once: the first to come sets up the store. */
  static async start(stores: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Nodes> {
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
