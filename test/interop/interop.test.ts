// Clients that others wrote, each going through one script. A client is a folder beside this file, with a client.ts.
//
//   npm run test:interop                                    all of them
//   npm run test:interop -- interop.test.ts -t grpc-go      one of them
//   PORTCULLIS_INTEROP_SKIP=grpc-go,curl npm run test:interop    without some, by the names of their folders; not in CI
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLoginPolicies } from "../../src/application/login-policy.ts";
import { secondFactorKind } from "../../src/domain/login-policy/decide.ts";
import { startTestServer } from "../fixtures/server.ts";
import type { InteropClient, Prepared } from "./client.ts";
import { defineExampleTests } from "./example.ts";
import { certificatePath, ports } from "./ports.ts";
import { cache, exportProtos } from "./protos.ts";
import { required } from "./required.ts";
import { type Ended, run } from "./run.ts";
import { cannotOf, expectations, readSaid, relevant, type Said, sumUp } from "./script.ts";
import { clientFolders, skipped } from "./skipped.ts";
import { openSlowProxy } from "./slow-proxy.ts";
import { type StepName, stepNames } from "./steps.ts";
import { addRows, type Row } from "./table.ts";

// Downloads and the first builds of some languages take minutes.
const prepareTimeoutMs = 600_000;
const programTimeoutMs = 120_000;

const clients = new Map<string, InteropClient>();
for (const folder of clientFolders) {
  const file = pathToFileURL(join(import.meta.dirname, folder, "client.ts")).href;
  clients.set(folder, ((await import(/* @vite-ignore */ file)) as { client: InteropClient }).client);
}

// Not a test, which `-t` could leave out: a run of some clients says as well that another is not there.
const defined = [...clients].map(([folder, { transports }]) => [folder, transports]);
expect(Object.fromEntries(defined), "the clients, and those that required.ts lists").toEqual(required);

const rows: Row[] = [];

let protos: string;
beforeAll(async () => {
  protos = await exportProtos();
}, prepareTimeoutMs);
afterAll(() => addRows(rows));

for (const [folder, client] of clients) {
  if (skipped.has(folder)) {
    const skip = { client: client.name, version: "", result: "skipped: PORTCULLIS_INTEROP_SKIP names it" };
    rows.push(...client.transports.map((transport) => ({ ...skip, transport })));
  }
  describe.skipIf(skipped.has(folder))(client.name, () => {
    let prepared: Prepared;
    let missing: unknown;

    beforeAll(async () => {
      const directory = join(cache, folder);
      mkdirSync(directory, { recursive: true });
      try {
        prepared = await client.prepare({ directory, protos });
      } catch (error) {
        const result = `MISSING: ${(error as Error).message.split("\n", 1)[0]}`;
        rows.push(...client.transports.map((transport) => ({ client: client.name, version: "", transport, result })));
        missing = error;
      }
    }, prepareTimeoutMs);

    it("can be installed and built", () => {
      if (missing) throw missing;
    });

    describe.each(client.transports)("%s", (transport) => {
      const cannot = cannotOf(client, transport);
      let ended: Ended;
      let failures: readonly unknown[];
      let all: ReadonlyMap<StepName, Said>;

      beforeAll(async () => {
        if (missing) throw missing;
        const row = { client: client.name, version: prepared.version, transport };
        try {
          ({ ended, failures } = await runScript(prepared, transport));
          all = readSaid(ended.stdout);
        } catch (error) {
          rows.push({ ...row, result: `FAILED: ${(error as Error).message.split("\n", 1)[0]}` });
          throw error;
        }
        rows.push({ ...row, result: sumUp(client, transport, all) });
      }, programTimeoutMs + 10_000);

      it.each(stepNames.filter((step) => !(step in cannot)))("%s", (step) => {
        expect(relevant(step, all.get(step)), toldOf(step, ended.stderr)).toEqual(expectations[step]);
      });

      it("comes to the end, with the steps that it can do, and without a failure of the server", () => {
        expect(ended).toMatchObject({ status: 0 });
        expect([...all.keys()].filter((step) => step in cannot)).toEqual([]);
        expect(failures).toEqual([]);
      });
    });

    if (client.example !== undefined) {
      defineExampleTests(client.example, (env) => {
        const { example, cwd } = prepared;
        if (example === undefined) throw new Error(`${folder}/client.ts says nothing of how to run its example`);
        const [program, ...args] = example;
        return run(program, args, { env: { ...surroundings(), ...prepared.env, ...env }, ...(cwd && { cwd }) });
      });
    }
  });
}

it("leaves no client and no transport out", () => {
  const wanted = [...clients.values()].flatMap(({ name, transports }) => transports.map((each) => `${name}: ${each}`));
  // The rows of skipped clients come first.
  expect(rows.map((row) => `${row.client}: ${row.transport}`).sort()).toEqual(wanted.sort());
});

async function runScript({ command, cwd, env }: Prepared, transport: string) {
  const server = await startTestServer(/\bTLS\b/.test(transport) ? ports.TLS : ports.plaintext);
  const slow = await openSlowProxy(server.url);
  try {
    const other = await server.directory.addOrganization("Other organization");
    const target = { organizationId: other.id, userId: "setup" };
    await createLoginPolicies(server.store).addFactor(target, { kind: secondFactorKind, factor: "otp_email" });
    const [program, ...args] = command;
    const ended = await run(program, args, {
      timeout: programTimeoutMs,
      ...(cwd && { cwd }),
      env: {
        ...surroundings(),
        ...env,
        PORTCULLIS_URL: server.url,
        PORTCULLIS_SLOW_URL: slow.url,
        PORTCULLIS_TOKEN: server.adminToken,
        PORTCULLIS_ORGANIZATION: server.defaultOrganization,
        PORTCULLIS_OTHER_ORGANIZATION: other.id,
        PORTCULLIS_TRANSPORT: transport,
        PORTCULLIS_CA: certificatePath,
      },
    });
    return { ended, failures: server.failures };
  } finally {
    await slow.close();
    await server.close();
  }
}

/** What a program wrote for people about a step where it names it, else its last words. */
function toldOf(step: StepName, stderr: string): string {
  const start = stderr.indexOf(`${step}: `);
  return start < 0 ? stderr.slice(-1000) : stderr.slice(start, start + 1000);
}

/** This process's environment, without what would lead calls elsewhere or change the programs. */
function surroundings(): NodeJS.ProcessEnv {
  const isForeign = (name: string) =>
    /_proxy$|^(PORTCULLIS|VITEST|NODE)_|^(NODE_ENV|NODE_OPTIONS|VITEST|TEST)$/i.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}
