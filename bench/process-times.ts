import { existsSync, readdirSync, readFileSync } from "node:fs";

/** The CPU time that this process has used, in microseconds: all of it, and that of two threads where the system tells them apart. */
export interface ProcessTimes {
  readonly all: number;
  readonly main: number;
  readonly writer: number;
}

/** The name that the store gives its thread (`src/store/sqlite/thread-writer.ts`). Linux keeps 15 characters of it. */
const writerName = "portcullis store writer".slice(0, 15);
const threads = "/proc/self/task";

/** The times of threads are NaN where the system does not tell them. */
export function readProcessTimes(): ProcessTimes {
  const { user, system } = process.cpuUsage();
  const all = user + system;
  if (!existsSync(`${threads}/${process.pid}/schedstat`)) return { all, main: Number.NaN, writer: Number.NaN };
  const writer = readdirSync(threads).find((id) => readFileSync(`${threads}/${id}/comm`, "utf8").trim() === writerName);
  return { all, main: readThread(process.pid), writer: writer === undefined ? Number.NaN : readThread(writer) };
}

function readThread(id: number | string): number {
  const nanoseconds = readFileSync(`${threads}/${id}/schedstat`, "utf8").split(" ", 1)[0];
  return Number(nanoseconds) / 1000;
}
