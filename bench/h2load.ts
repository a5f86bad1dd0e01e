import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { checkAnswer, type Target } from "./calls.ts";
import { h2loadVersion } from "./environment.ts";
import { generatorCpu, pin, temporaryDirectory } from "./processes.ts";
import type { Figure } from "./report.ts";
import { percentile } from "./statistics.ts";

/** One server under one kind of load. */
export interface Contender {
  readonly name: string;
  readonly target: Target;
  /** The body of every answer. */
  readonly answer: Uint8Array;
  /** `full`: 8 connections × 16 calls over HTTP/2, 32 connections over HTTP/1.1. `alone`: one call at a time. */
  readonly load: "full" | "alone";
}

/** What was measured, one value for each round. The times are of `alone` only. */
export interface Measured {
  readonly perSecond: number[];
  readonly p50Us: number[];
  readonly p99Us: number[];
}

const shapes = {
  full: { 1: ["-c", "32", "-m", "1"], 2: ["-c", "8", "-m", "16"] },
  alone: { 1: ["-c", "1", "-m", "1"], 2: ["-c", "1", "-m", "1"] },
} as const;

/** Rejects with what to do where there is no h2load. */
export function requireH2load(): void {
  if (h2loadVersion() !== "no h2load") return;
  throw new Error("the load comes from h2load, which is not here: install the package nghttp2-client (Debian, Ubuntu)");
}

/**
 * Measures all contenders in every round, one after the other and every other round backwards, so that what changes on
 * the machine meets them alike. Each is checked and warmed up first.
 */
export async function compete<Key extends string>(
  contenders: Readonly<Record<Key, Contender>>,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Record<Key, Measured>> {
  requireH2load();
  const entries = [];
  for (const [key, contender] of Object.entries<Contender>(contenders)) {
    await checkAnswer(contender.name, contender.target, contender.answer);
    const { perSecond: cold } = await load(contender, 3000);
    const { perSecond } = await load(contender, Math.ceil(cold * Math.max(seconds, 2)));
    const requests = Math.max(1000, Math.ceil(perSecond * seconds));
    const measured: Measured = { perSecond: [], p50Us: [], p99Us: [] };
    entries.push({ key, contender, requests, measured });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { contender, requests, measured } of round % 2 === 0 ? entries : entries.toReversed()) {
      const { perSecond, timesUs } = await load(contender, requests);
      measured.perSecond.push(perSecond);
      if (timesUs === undefined) continue;
      measured.p50Us.push(percentile(timesUs, 0.5));
      measured.p99Us.push(percentile(timesUs, 0.99));
    }
  }
  return Object.fromEntries(entries.map(({ key, measured }) => [key, measured])) as Record<Key, Measured>;
}

/** What was measured of contenders, for the report. */
export function figuresOf<Key extends string>(
  contenders: Readonly<Record<Key, Contender>>,
  measured: Readonly<Record<Key, Measured>>,
): Figure[] {
  return (Object.keys(contenders) as Key[]).flatMap((key): Figure[] => {
    const { name, load } = contenders[key];
    const { perSecond, p50Us, p99Us } = measured[key];
    if (load === "full") return [{ what: name, unit: "answers/s", values: perSecond }];
    return [
      { what: `${name}, p50`, unit: "µs", values: p50Us },
      { what: `${name}, p99`, unit: "µs", values: p99Us },
    ];
  });
}

let directory: string | undefined;

async function load(contender: Contender, requests: number): Promise<{ perSecond: number; timesUs?: number[] }> {
  const { name, target, answer } = contender;
  directory ??= temporaryDirectory();
  const log = join(directory, "times");
  const data = join(directory, "body");
  if (target.body !== undefined) writeFileSync(data, target.body);
  const [command, ...args] = pin(
    [
      "h2load",
      ...(target.http === 1 ? ["--h1"] : []),
      ...shapes[contender.load][target.http],
      "-n",
      String(requests),
      ...(target.body === undefined ? [] : ["-d", data]),
      ...Object.entries(target.headers).flatMap(([header, value]) => ["-H", `${header}: ${value}`]),
      ...(contender.load === "alone" ? [`--log-file=${log}`] : []),
      target.url + target.path,
    ],
    generatorCpu,
  );
  if (contender.load === "alone") writeFileSync(log, "");
  const { stdout } = await promisify(execFile)(command, args);
  const perSecond = Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]);
  const successes = Number(/(\d+) 2xx/.exec(stdout)?.[1]);
  const bytes = Number(/\((\d+)\) data/.exec(stdout)?.[1]);
  // An error is a fast answer, and one of gRPC has status 200 and no body.
  if (!(perSecond > 0) || successes !== requests || bytes !== requests * answer.length) {
    throw new Error(`${name}: ${successes} of ${requests} succeeded with ${bytes} bytes, not ${answer.length} each`);
  }
  if (contender.load === "full") return { perSecond };
  // Columns: when it began, the status, how long it took.
  const lines = readFileSync(log, "utf8").trim().split("\n");
  return { perSecond, timesUs: lines.map((line) => Number(line.split("\t")[2])) };
}
