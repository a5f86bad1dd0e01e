import type { StepName } from "./steps.ts";

/** A client that others wrote, behind a program that goes through the script (`script.ts`) with it. */
export interface InteropClient {
  /** As in the table, such as "grpc-go". */
  readonly name: string;
  /**
   * Each is a row of its own, such as "gRPC", "gRPC, TLS" or "REST, HTTP/1.1", and is given to the program as
   * PORTCULLIS_TRANSPORT. The server has TLS where the text has the word TLS.
   */
  readonly transports: readonly string[];
  /**
   * Installs and builds what the program needs; see `build.ts`. What was built before and still is as it would become is
   * kept. Rejects with a sentence where a toolchain is missing.
   */
  prepare(options: PrepareOptions): Promise<Prepared>;
  /** Steps that this client cannot do, each with the reason, which the table shows. */
  readonly cannot?: Cannot | ((transport: string) => Cannot);
  /** The path of a program in `examples/` that is built with it, and does and prints what `rest-fetch.ts` does. */
  readonly example?: string;
}

export type Cannot = Readonly<Partial<Record<StepName, string>>>;

export interface PrepareOptions {
  /** The client's own folder for what is built, kept between runs. It exists. */
  readonly directory: string;
  /** The folder that `npm run proto:export` wrote. */
  readonly protos: string;
}

export type Command = readonly [program: string, ...args: string[]];

export interface Prepared {
  /** The client's version. */
  readonly version: string;
  /**
   * The program. It is run once for each transport, against a fresh server, with these variables in its environment:
   *
   * - PORTCULLIS_URL, with the scheme http or https;
   * - PORTCULLIS_SLOW_URL: the same server, but every byte of its answers comes 2 s late;
   * - PORTCULLIS_TOKEN, of an instance owner, and PORTCULLIS_ORGANIZATION, where that user is at home;
   * - PORTCULLIS_OTHER_ORGANIZATION, for the header `x-zitadel-orgid`;
   * - PORTCULLIS_TRANSPORT;
   * - PORTCULLIS_CA: the path of a PEM file, by which servers with TLS are signed.
   *
   * It goes through the steps in their order and prints one JSON object a line for each, as `expectations` in `script.ts`
   * has them, and nothing for a step that it cannot do. It exits with 0 where it came to the end, whatever the answers were.
   * What people should read goes to standard error.
   */
  readonly command: Command;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The program named by `example` of the client. */
  readonly example?: Command;
}
