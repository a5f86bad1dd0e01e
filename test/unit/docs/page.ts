import { readFileSync } from "node:fs";

/** The text of a page of the project, by its path. */
export const readPage = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

/** The cells of a table's rows, without the head and the line under it. Throws an Error where no table has this head. */
export function tableRows(page: string, head: string): readonly (readonly string[])[] {
  const lines = page.split("\n");
  const start = lines.indexOf(head);
  if (start === -1) throw new Error(`no table begins with ${head}`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
  const rows = lines.slice(start + 2, end === -1 ? lines.length : end);
  return rows.map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
