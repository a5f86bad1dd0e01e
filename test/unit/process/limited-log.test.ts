import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLimitedLog } from "../../../src/process/limited-log.ts";

interface Line {
  readonly msg: string;
  readonly kind?: string;
  readonly leftOut?: number;
}

/** A limited log at level info, what it wrote, and its clock. */
function open() {
  const lines: Line[] = [];
  const log = pino({ level: "info" }, { write: (text: string) => void lines.push(JSON.parse(text) as Line) });
  const clock = { now: 0 };
  const limited = createLimitedLog(log, { now: () => clock.now });
  const write = (times: number, kind = "guess") => {
    for (let i = 0; i < times; i++) limited(kind, "info", { n: i }, `a ${kind}`);
  };
  return { lines, clock, limited, write };
}

describe("createLimitedLog", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
  afterEach(() => void vi.useRealTimers());

  it("writes ten lines of a kind in ten seconds, and counts the others when these are over", () => {
    const { lines, clock, write } = open();
    write(25);
    expect(lines).toHaveLength(10);
    clock.now = 10_000;
    write(1);
    expect(lines.slice(10)).toMatchObject([{ kind: "guess", leftOut: 15 }, { msg: "a guess" }]);
  });

  it("writes the count where no further line comes, once", () => {
    const { lines, clock, write } = open();
    write(12);
    clock.now = 9_999;
    vi.advanceTimersByTime(10_000);
    expect(lines.slice(10)).toMatchObject([{ kind: "guess", leftOut: 2 }]);
    clock.now = 20_000;
    vi.advanceTimersByTime(10_000);
    write(10);
    expect(lines).toHaveLength(21);
    vi.advanceTimersByTime(60_000);
    expect(lines).toHaveLength(21);
  });

  it("counts no line twice where one comes after the window and before its timer", () => {
    const { lines, clock, write } = open();
    write(11);
    clock.now = 10_000;
    write(1);
    vi.advanceTimersByTime(60_000);
    expect(lines.filter(({ leftOut }) => leftOut !== undefined)).toMatchObject([{ leftOut: 1 }]);
  });

  it("limits each kind by itself", () => {
    const { lines, write } = open();
    write(20, "guess");
    write(3, "reset");
    expect(lines.filter(({ msg }) => msg === "a reset")).toHaveLength(3);
  });

  it("neither writes nor counts what is below the level of the log", () => {
    const { lines, limited } = open();
    for (let i = 0; i < 20; i++) limited("quiet", "debug", {}, "quiet");
    vi.advanceTimersByTime(60_000);
    expect(lines).toEqual([]);
  });
});
