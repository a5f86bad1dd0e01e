import { call, type Target } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { residentMb, startPortcullis, temporaryDirectory } from "../processes.ts";
import type { Figure, Report } from "../report.ts";
import { makeStore } from "../store-fixture.ts";

const idleMs = 2000;

/** From the start of the process to the answer of its first call, and its memory when it has been idle for two seconds. */
export async function measureStart(
  directory: string,
  { token, env }: { readonly token: string; readonly env?: NodeJS.ProcessEnv },
): Promise<{ readonly ms: number; readonly mb: number }> {
  const started = performance.now();
  // On any CPU, as it would be started: its threads compile at once.
  const server = await startPortcullis(directory, { isFree: true, ...(env && { env }) });
  await call(getTarget(server.url, token));
  const ms = performance.now() - started;
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const mb = residentMb(server.pid);
  await server.stop();
  return { ms, mb };
}

const getTarget = (url: string, token: string): Target => ({
  url,
  http: 1,
  path: "/management/v1/policies/login",
  headers: { authorization: `Bearer ${token}` },
});

/** How long a start takes, and what an idle process holds. */
export async function measureStarts({ rounds }: Effort): Promise<Report> {
  const kept = temporaryDirectory();
  const token = await makeStore(kept, 0);
  const env = { PORTCULLIS_ADMIN_TOKEN: token };
  const cases = [
    {
      name: "the first in a checkout, with nothing compiled and no store",
      once: () =>
        measureStart(temporaryDirectory(), { token, env: { ...env, NODE_COMPILE_CACHE: temporaryDirectory() } }),
    },
    { name: "without a store", once: () => measureStart(temporaryDirectory(), { token, env }) },
    { name: "with a store", once: () => measureStart(kept, { token }) },
  ];
  const figures = cases.flatMap(({ name }): (Figure & { values: number[] })[] => [
    { what: `start ${name}: first answer`, unit: "ms", values: [] },
    { what: `start ${name}: resident memory when idle`, unit: "MB", values: [] },
  ]);
  for (let round = 0; round < rounds; round++) {
    for (const [index, { once }] of cases.entries()) {
      const { ms, mb } = await once();
      figures[index * 2]?.values.push(ms);
      figures[index * 2 + 1]?.values.push(mb);
    }
  }
  return { figures, rows: [] };
}
