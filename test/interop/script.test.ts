import { describe, expect, it } from "vitest";
import type { InteropClient } from "./client.ts";
import { expectations, readSaid, sumUp } from "./script.ts";
import { stepNames } from "./steps.ts";

const client: InteropClient = {
  name: "a client",
  transports: ["gRPC"],
  prepare: () => Promise.reject(new Error("never")),
  cannot: { gzip: "it has no gzip" },
};

/** What a program prints that does all steps as wanted, but for changes. */
function printed(changes: Readonly<Record<string, object | undefined>> = {}): string {
  const { metadata, ...steps } = expectations;
  const wanted = { ...steps, add: { ...steps.add, ...metadata }, gzip: undefined, ...changes };
  const lines = Object.entries(wanted).filter(([, said]) => said !== undefined);
  return lines.map(([step, said]) => `${JSON.stringify({ step, ...said })}\n`).join("");
}

const sumUpOf = (stdout: string) => sumUp(client, "gRPC", readSaid(stdout));

describe("the script", () => {
  it("is passed by a program that says all that is wanted, and more", () => {
    const more = { ...expectations["wrong token"], message: "any text" };
    expect(sumUpOf(printed({ "wrong token": more }))).toBe("9 of 10 steps; no gzip: it has no gzip");
    expect(stepNames).toEqual(Object.keys(expectations));
  });

  it.each([
    ["another answer", { list: { result: [] } }, "list"],
    ["a step left out", { remove: undefined }, "remove"],
    ["a header that did not come", { add: { ok: true } }, "metadata"],
    ["a failed step that it cannot do", { gzip: { ok: false } }, "gzip"],
  ])("is failed by %s", (_, changes, step) => {
    expect(sumUpOf(printed(changes))).toContain(`; FAILED: ${step};`);
  });

  it("has no other steps, and each once", () => {
    expect(() => readSaid('{"step":"dance"}\n')).toThrow('no step of the script: {"step":"dance"}');
    expect(() => readSaid('{"step":"list"}\n{"step":"list"}\n')).toThrow('said twice: {"step":"list"}');
    expect(() => readSaid("debugging\n")).toThrow(SyntaxError);
  });
});
