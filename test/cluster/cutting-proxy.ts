import { connect, createServer, type Server, type Socket } from "node:net";

/** Where a connection is cut: the server gets the COMMIT and its answer is lost, or it does not get it. */
export type Cut = "after COMMIT" | "before COMMIT";

/** Passes connections on to a server, and cuts them in the middle of a commit. */
export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #armed: { readonly cut: Cut; readonly resolve: () => void } | undefined;
  #holding: ((pass: () => Promise<void>) => void) | undefined;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer({ noDelay: true }, (client) => this.#pass(client));
  }

  static async start(target: string): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** The same database, through the proxy. */
  get url(): string {
    const url = new URL(this.#target);
    const address = this.#server.address();
    if (typeof address === "object" && address !== null) url.port = String(address.port);
    return url.href;
  }

  /** Cuts the next connection that commits a change of the store. Resolves when that has happened. */
  cutNext(cut: Cut): Promise<void> {
    return new Promise((resolve) => {
      this.#armed = { cut, resolve };
    });
  }

  /**
   * Holds back the next transaction that is sent as a whole, and cuts its connection. Resolves to a function that passes it on to the
   * server after all, and ends when the server has read it.
   */
  holdNext(): Promise<() => Promise<void>> {
    return new Promise((resolve) => {
      this.#holding = resolve;
    });
  }

  #pass(client: Socket): void {
    const server = connect({ host: this.#target.hostname, port: Number(this.#target.port), noDelay: true });
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        (socket === client ? server : client).destroy();
      });
    }
    const commits = new CommitFinder();
    const held: Buffer[] = [];
    client.on("data", (chunk: Buffer) => {
      if (client.destroyed) return;
      const isCommit = commits.find(chunk);
      const holding = this.#holding;
      if (holding !== undefined && (held.length > 0 || chunk.includes("BEGIN ISOLATION LEVEL READ COMMITTED"))) {
        held.push(chunk);
        if (!isCommit) return;
        this.#holding = undefined;
        client.removeAllListeners("close");
        client.destroy();
        holding(async () => {
          const closed = new Promise((resolve) => server.once("close", resolve));
          server.end(Buffer.concat(held));
          await closed;
        });
        return;
      }
      const armed = isCommit ? this.#armed : undefined;
      if (armed === undefined) {
        server.write(chunk);
        return;
      }
      this.#armed = undefined;
      if (armed.cut === "before COMMIT") {
        server.destroy();
        client.destroy();
        armed.resolve();
        return;
      }
      // Not destroyed, which could take back what was sent: the server reads to the end and finds nobody to answer.
      client.removeAllListeners("close");
      server.end(chunk, () => {
        client.destroy();
        armed.resolve();
      });
    });
    server.on("data", (chunk: Buffer) => {
      if (!server.writableEnded) client.write(chunk);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Finds the COMMIT of a transaction that writes in what a client sends. */
class CommitFinder {
  #text = "";

  find(chunk: Buffer): boolean {
    this.#text += chunk.toString("latin1");
    const writes = this.#text.indexOf("INSERT INTO portcullis.writers");
    const end = writes === -1 ? -1 : this.#text.indexOf("COMMIT\0", writes);
    // What was begun may end in the next chunk.
    this.#text = writes === -1 ? this.#text.slice(-100) : this.#text.slice(end === -1 ? writes : end + 1);
    return end !== -1;
  }
}
