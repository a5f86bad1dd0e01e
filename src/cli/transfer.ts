import { type FileHandle, open, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { StoreError } from "../store/errors.ts";
import type { Store } from "../store/store.ts";
import { exportLines, type Totals, type Watch } from "../store/transfer/export.ts";
import { importLines } from "../store/transfer/import.ts";

/** Stands for standard output or standard input in place of a file. */
export const standardStream = "-";

/** Exports a store to a new file that only this user can read, or to standard output. */
export async function exportTo(file: string, store: Store): Promise<Totals> {
  if (file === standardStream) return exportToOutput(store);
  const handle = await openFile(file, { flags: "wx", verb: "written" });
  try {
    const totals = await exportBy((text) => handle.appendFile(text), store);
    await handle.sync();
    return totals;
  } catch (error) {
    // It would never be whole.
    await rm(file, { force: true });
    throw refused(file, "written", error);
  } finally {
    await handle.close();
  }
}

/** Imports a file, or standard input, into an empty store. */
export const importFrom = ({ stream, name }: Input, store: Store): Promise<Totals> =>
  importLines(store, { bytes: bytesOf(stream, name), name, watch });

export interface Input {
  readonly stream: Readable;
  /** For messages. */
  readonly name: string;
}

export async function openInput(file: string): Promise<Input> {
  if (file === standardStream) return { stream: process.stdin, name: "The standard input" };
  const handle = await openFile(file, { flags: "r", verb: "read" });
  return { stream: handle.createReadStream(), name: `The file ${file}` };
}

/** Many lines at a time: each time costs a system call. */
async function exportBy(send: (text: string) => Promise<void>, store: Store): Promise<Totals> {
  let waiting = "";
  const flush = () => {
    const text = waiting;
    waiting = "";
    return send(text);
  };
  const write = async (line: string) => {
    waiting += line;
    if (waiting.length >= chunkLength) await flush();
  };
  const totals = await exportLines(store, { write, watch });
  await flush();
  return totals;
}

/** Where the reader stops before the end, or the disk is full, main.ts ends the process. The exit code is 1 until all is written. */
async function exportToOutput(store: Store): Promise<Totals> {
  process.exitCode = 1;
  const totals = await exportBy(sendToOutput, store);
  process.exitCode = 0;
  return totals;
}

function sendToOutput(text: string): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write(text, (error) => {
      if (!error) resolve();
    });
  });
}

const chunkLength = 65_536;
const reportEvery = 100_000;

const watch: Watch = async function* (items, what) {
  let count = 0;
  for await (const item of items) {
    yield item;
    count += 1;
    if (count % reportEvery === 0) process.stderr.write(`${count} ${what}\n`);
  }
};

async function* bytesOf(stream: Readable, name: string): AsyncIterable<Buffer> {
  try {
    yield* stream;
  } catch (error) {
    throw new StoreError("unavailable", `${name} cannot be read (${codeOf(error)}).`, error);
  }
}

async function openFile(
  file: string,
  { flags, verb }: { readonly flags: "r" | "wx"; readonly verb: "read" | "written" },
): Promise<FileHandle> {
  try {
    return await open(file, flags, 0o600);
  } catch (error) {
    throw refused(file, verb, error);
  }
}

function refused(file: string, verb: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const reason = codeOf(cause) === "EEXIST" ? "it is there already" : codeOf(cause);
  return new StoreError("unavailable", `The file ${file} cannot be ${verb} (${reason}).`, cause);
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
