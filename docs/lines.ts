// Writes the table of lines by folder into docs/architecture.md, and fails when src/ is over its budget. Part of npm run generate.
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Lines of src/ without generated code and without the page's own source. It is what keeps the program readable as it grows. */
const budget = 32_000;

const root = join(import.meta.dirname, "..");
const files = globSync("src/**/*.ts", {
  cwd: root,
  exclude: ["src/rpc/gen/**", "src/ui/**", "**/node_modules/**", "**/dist/**"],
});
const byFolder = new Map<string, number>();
let total = 0;
for (const file of files) {
  const lines = readFileSync(join(root, file), "utf8").split("\n").length - 1;
  total += lines;
  const [, ...path] = file.split("/");
  const folder = path.length === 1 ? "files of `src/` itself" : `\`${folderOf(path)}/\``;
  byFolder.set(folder, (byFolder.get(folder) ?? 0) + lines);
}

/** Large parts are counted by their own folders. */
function folderOf(path: readonly string[]): string {
  const [part = "", inner = ""] = path;
  const isSplit = ["rpc", "store", "auth"].includes(part) && path.length > 2;
  return isSplit ? `${part}/${inner}` : part;
}

// Rounded, so that the table changes when a folder does, and not with each commit.
const rounded = (lines: number) => String(Math.max(1, Math.round(lines / 100)) * 100);
const rows = [...byFolder]
  .sort(([a], [b]) => a.localeCompare(b))
  .map(([folder, lines]) => `| ${folder} | ${rounded(lines)} |`);
const table = ["| Folder | Lines |", "|---|---:|", ...rows, `| all, of ${budget} at most | ${rounded(total)} |`].join(
  "\n",
);

const page = join(root, "docs/architecture.md");
const text = readFileSync(page, "utf8");
const [start, end] = ["<!-- lines: written by npm run generate -->", "<!-- end of lines -->"];
const between = new RegExp(`${start}[^]*${end}`);
if (!between.test(text)) throw new Error(`docs/architecture.md has no place for the table: ${start}`);
writeFileSync(page, text.replace(between, `${start}\n${table}\n${end}`));

process.stdout.write(`lines: ${total} in ${files.length} files\n`);
if (total > budget) {
  process.stderr.write(`src/ has ${total} lines, and its budget is ${budget}: remove what is not needed\n`);
  process.exitCode = 1;
}
