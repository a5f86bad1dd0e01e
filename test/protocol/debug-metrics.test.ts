// Metrics cost milliseconds to render, and anybody may ask for them where `/debug` is public.
import { expect, it } from "vitest";
import { createReadiness } from "../../src/process/readiness.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { createDebugHandler } from "../../src/web/debug.ts";
import { exchange } from "../fixtures/wire.ts";
import { open } from "./listener-clients.ts";

async function openDebug() {
  const clock = { now: 0 };
  const metrics = createMetrics({ version: "1.2.3", now: () => clock.now });
  let reads = 0;
  metrics.watchLog(() => {
    reads += 1;
    if (reads === 3) throw new Error("it cannot be read");
    return { full: reads, failed: 0 };
  });
  const failures: unknown[] = [];
  const onFailure = (reason: unknown) => void failures.push(reason);
  const { url } = await open({ handler: createDebugHandler({ readiness: createReadiness(), metrics, onFailure }) });
  const ask = (method = "GET") => exchange(url, { method, path: "/debug/metrics" });
  const readsIn = async () =>
    Number(/^portcullis_log_lines_lost_total\{reason="full"\} (\d+)$/m.exec((await ask()).body.toString())?.[1]);
  return { clock, ask, readsIn, failures, reads: () => reads };
}

it("renders metrics once a second, and shares them among all who ask", async () => {
  const { clock, ask, readsIn, reads } = await openDebug();
  const replies = await Promise.all(Array.from({ length: 50 }, (_, index) => ask(index % 2 === 0 ? "GET" : "HEAD")));
  expect(replies.every(({ status }) => status === 200)).toBe(true);
  expect(reads()).toBe(1);
  expect(new Set(replies.map(({ headers }) => headers["content-length"])).size).toBe(1);
  clock.now = 999;
  expect(await readsIn()).toBe(1);
  clock.now = 1000;
  expect(await readsIn()).toBe(2);
  expect(reads()).toBe(2);
});

it("tries again at once after metrics that could not be rendered", async () => {
  const { clock, ask, readsIn, failures } = await openDebug();
  await ask();
  clock.now = 1000;
  await ask();
  clock.now = 2000;
  expect((await ask()).status).toBe(500);
  expect(failures).toMatchObject([{ message: "it cannot be read" }]);
  expect(await readsIn()).toBe(4);
});
