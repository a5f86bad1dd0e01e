// Prints the table of clients when everything else was printed. It is the set-up of the project `interop` (vitest.config.ts).
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cache } from "./protos.ts";

export interface Row {
  readonly client: string;
  readonly version: string;
  readonly transport: string;
  readonly result: string;
}

const file = join(cache, "table.json");
const columns = ["client", "version", "transport", "result"] as const;

/** Keeps rows for the end of the run. Tests run in a process of their own, so that a file has to do. */
export function addRows(rows: readonly Row[]): void {
  mkdirSync(cache, { recursive: true });
  writeFileSync(file, JSON.stringify([...readRows(), ...rows]));
}

/** Those that there are; none where the run had no clients. */
function readRows(): readonly Row[] {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as readonly Row[];
  } catch {
    return [];
  }
}

export default function setup(): () => void {
  rmSync(file, { force: true });
  return () => {
    const rows = readRows();
    if (rows.length > 0) process.stdout.write(`\n${printTable(rows)}\n`);
  };
}

function printTable(rows: readonly Row[]): string {
  const heads = { client: "Client", version: "Version", transport: "Transport", result: "Result" };
  const widths = columns.map((column) => Math.max(...[heads, ...rows].map((row) => row[column].length)));
  const line = (row: Row) =>
    columns
      .map((column, at) => row[column].padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  return `${[line(heads), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n")}\n`;
}
