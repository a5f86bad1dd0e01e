import { createContextValues } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, it } from "vitest";
import { setRequestId } from "../../../src/rpc/call/request-id.ts";
import { StoreError } from "../../../src/store/errors.ts";
import { reportTo } from "../../../src/telemetry/report-failure.ts";
import { setTrace } from "../../../src/telemetry/trace-ids.ts";

function open() {
  const lines: Record<string, unknown>[] = [];
  return { lines, report: reportTo(pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })) };
}

it("names the call and its trace", () => {
  const { lines, report } = open();
  const contextValues = createContextValues();
  setRequestId(contextValues, "the-id");
  setTrace(contextValues, { trace_id: "a-trace", span_id: "a-span" });
  report({ reason: new Error("a bug"), contextValues });
  report({ reason: new Error("a bug without a call") });
  const failure = { level: 50, msg: "call failed" };
  expect(lines).toMatchObject([
    { ...failure, requestId: "the-id", trace_id: "a-trace", span_id: "a-span" },
    { ...failure, err: {} },
  ]);
  expect(lines[1]).not.toHaveProperty("requestId");
});

it("writes ten lines of each kind, and none of more", () => {
  const { lines, report } = open();
  for (let failures = 0; failures < 1000; failures += 1) {
    report({ reason: new StoreError("unavailable", `the store is away for call ${failures}`) });
    report({ reason: new StoreError("corrupt", "damaged") });
    report({ reason: new TypeError(`a bug ${failures}`) });
    report({ reason: "a text" });
  }
  expect(lines).toHaveLength(40);
});
