export const stepNames = [
  "list",
  "add",
  "add again",
  "remove",
  "get policy",
  "wrong token",
  "other organization",
  "deadline",
  "gzip",
] as const;
export type StepName = (typeof stepNames)[number];

/** A client that others wrote, behind a program that goes through the script with it. */
export interface InteropClient {
  /** As in the table, such as "grpc-go". */
  readonly name: string;
  /**
   * Each transport is a row of its own, such as "gRPC", "gRPC, TLS", "REST, HTTP/1.1". The text is given to the program as
   * PORTCULLIS_TRANSPORT.
   */
  readonly transports: readonly string[];
  /**
   * Installs and builds what the program needs, in `directory` (kept between runs), with stubs generated from the folder that
   * `npm run proto:export` wrote (`protos`). Resolves to the client's version and the command. Rejects with a sentence where
   * a toolchain is missing.
   */
  prepare(options: { readonly directory: string; readonly protos: string }): Promise<Prepared>;
  /** Steps that this client cannot do, each with the reason, which the table shows. */
  readonly cannot?: Readonly<Partial<Record<StepName, string>>>;
}

export interface Prepared {
  readonly version: string;
  readonly command: readonly [string, ...string[]];
  /** Runs the program of examples/, with PORTCULLIS_URL and PORTCULLIS_TOKEN set. */
  readonly example?: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}
