/** Prints the result of a command: one JSON value with `--json`, else text for people. */
export function print(
  options: { readonly json?: boolean },
  result: { readonly json: unknown; readonly text: string },
): void {
  process.stdout.write(`${options.json ? JSON.stringify(result.json) : result.text}\n`);
}

/** Prints a list: with `--json` the rows as they are, else a table with a column for each heading. */
export function printList<Row>(
  options: { readonly json?: boolean },
  rows: readonly Row[],
  columns: Readonly<Record<string, (row: Row) => string>>,
): void {
  const cells = Object.values(columns);
  const text = table(
    Object.keys(columns),
    rows.map((row) => cells.map((cell) => cell(row))),
  );
  print(options, { json: rows, text });
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
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
