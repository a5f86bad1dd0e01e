/** What a server that does nothing answers. */
export interface FixedAnswer {
  readonly path: string;
  readonly contentType: string;
  /** In base64. */
  readonly body: string;
}

/** The answers that the program was started with, by path. */
export function readAnswers(): ReadonlyMap<string, { readonly contentType: string; readonly body: Buffer }> {
  const answers = JSON.parse(process.argv[2] ?? "[]") as readonly FixedAnswer[];
  return new Map(
    answers.map(({ path, contentType, body }) => [path, { contentType, body: Buffer.from(body, "base64") }]),
  );
}

/** Tells who started the program that it serves. */
export function announce(port: number): void {
  process.stdout.write(`serves on http://127.0.0.1:${port};\n`);
}
