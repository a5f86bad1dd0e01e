import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "./environment.ts";
import { root } from "./processes.ts";
import { median } from "./statistics.ts";

/** A measured quantity, one value for each round. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly values: readonly number[];
  /** In this unit. Absent: there is no goal. Most goals are for ratios, because a figure depends on the machine. */
  readonly goal?: Goal;
}

/** `at least` is for throughput, `at most` for time and memory. */
export interface Goal {
  readonly is: "at least" | "at most";
  readonly value: number;
  readonly stretch: number | undefined;
}
export const atLeast = (value: number, stretch?: number): Goal => ({ is: "at least", value, stretch });
export const atMost = (value: number, stretch?: number): Goal => ({ is: "at most", value, stretch });

/** Ratios of one quantity to another, one for each round. */
export interface Row {
  readonly what: string;
  readonly ratios: readonly number[];
  /** Absent: there is no goal. */
  readonly goal?: Goal;
}

export interface Report {
  readonly figures: readonly Figure[];
  readonly rows: readonly Row[];
}

/** Prints the report of a suite, and writes it to `results/` in place of the one before: as Markdown, and all of it as JSON. */
export function publish(suite: string, report: Report, environment: Environment): void {
  const line = Object.values(environment).join(", ");
  const markdown = [line, ...renderRows(report.rows), ...renderFigures(report.figures)].join("\n");
  process.stdout.write(`\n${suite}: ${markdown}\n`);
  const directory = join(root, "bench/results");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `${suite}.md`), `# ${suite}\n\n${markdown}\n`);
  const json = join(directory, `${suite}.json`);
  writeFileSync(json, JSON.stringify({ suite, ...environment, ...report }, round));
  // The file is kept with the sources, and lint wants its form.
  execFileSync(join(root, "node_modules/.bin/biome"), ["format", "--write", json], { stdio: "ignore" });
}

const round = (_: string, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);

function renderRows(rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  return [
    "",
    "| ratio | median (min to max) | goal | stretch | |",
    "|---|---|---|---|---|",
    ...rows.map(({ what, ratios, goal }) => `| ${what} | ${renderSpread(ratios)} | ${renderGoal(goal, ratios)} |`),
  ];
}

function renderFigures(figures: readonly Figure[]): string[] {
  const hasGoals = figures.some(({ goal }) => goal !== undefined);
  return [
    "",
    `| measured | median (min to max) | unit |${hasGoals ? " goal | stretch | |" : ""}`,
    `|---|---|---|${hasGoals ? "---|---|---|" : ""}`,
    ...figures.map(({ what, unit, values, goal }) => {
      const figure = `| ${what} | ${renderSpread(values)} | ${unit} |`;
      return hasGoals ? `${figure} ${renderGoal(goal, values)} |` : figure;
    }),
  ];
}

const renderSpread = (values: readonly number[]): string =>
  `${renderNumber(median(values))} (${renderNumber(Math.min(...values))} to ${renderNumber(Math.max(...values))})`;

const renderNumber = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/** Three cells: the goal, the stretch and the verdict. */
function renderGoal(goal: Goal | undefined, values: readonly number[]): string {
  if (goal === undefined) return " |  | ";
  const { is, value, stretch } = goal;
  return `${is} ${value} | ${stretch ?? ""} | ${verdict(goal, median(values))}`;
}

function verdict({ is, value, stretch }: Goal, reached: number): string {
  const reaches = (wanted: number) => (is === "at least" ? reached >= wanted : reached <= wanted);
  if (stretch !== undefined && reaches(stretch)) return "met, and the stretch";
  return reaches(value) ? "met" : "**missed**";
}
