import { type FileHandle, open, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { StoreError } from "../store/errors.ts";
import type { History, Store } from "../store/store.ts";
import { LineReader, type Totals, type Watch, writeLines } from "../store/transfer/history-lines.ts";

/** Stands for standard output or standard input in place of a file. */
export const standardStream = "-";

/** Writes a history to a new file that only this user can read, or to standard output. */
export async function writeHistory(history: History, file: string): Promise<Totals> {
  if (file === standardStream) return writeToOutput(history);
  const handle = await openFile(file, { flags: "wx", verb: "written" });
  try {
    const totals = await writeBy((text) => handle.appendFile(text), history);
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

/** Reads a history from a file, or from standard input, into an empty store. */
export async function readHistory(store: Store, { stream, name }: Input): Promise<Totals> {
  const reader = new LineReader(bytesOf(stream, name), name);
  let totals: Totals | undefined;
  await store.import(watch(reader.events(), "events"), async (history) => {
    totals = await reader.check(watch(history.aggregates(), "aggregates"));
  });
  return totals as Totals;
}

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
async function writeBy(send: (text: string) => Promise<void>, history: History): Promise<Totals> {
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
  const totals = await writeLines(history, { write, watch });
  await flush();
  return totals;
}

/** Where the reader stops before the end, or the disk is full, main.ts ends the process: with 1, since this was not whole. */
async function writeToOutput(history: History): Promise<Totals> {
  process.exitCode = 1;
  const totals = await writeBy(sendToOutput, history);
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
const toldEvery = 100_000;

const watch: Watch = async function* (items, what) {
  let count = 0;
  for await (const item of items) {
    yield item;
    count += 1;
    if (count % toldEvery === 0) process.stderr.write(`${count} ${what}\n`);
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
