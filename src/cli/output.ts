/** Prints the result of a command: one JSON value with `--json`, else text for people. */
export function print(
  options: { readonly json?: boolean },
  result: { readonly json: unknown; readonly text: string },
): void {
  process.stdout.write(`${options.json ? JSON.stringify(result.json) : result.text}\n`);
}

/** The headings of a table, each with what its cells show. */
export type Columns<Row> = Readonly<Record<string, (row: Row) => string>>;

/** Prints a list: with `--json` the rows as they are, else a table. */
export function printList<Row>(
  options: { readonly json?: boolean },
  rows: readonly Row[],
  columns: Columns<Row>,
): void {
  print(options, { json: rows, text: formatTable(rows, columns) });
}

export function formatTable<Row>(rows: readonly Row[], columns: Columns<Row>): string {
  const headings = Object.keys(columns);
  const cells = Object.values(columns);
  const all = [headings, ...rows.map((row) => cells.map((cell) => cell(row)))];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** An instant as RFC 3339 in UTC. */
export const formatInstant = (ms: number): string => new Date(ms).toISOString();
