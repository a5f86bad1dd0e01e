// Builds what the clients of this folder are made of, so that `npm run test:interop` finds it: .ci/run does this beside other
// tests. A build that fails here fails there again, with its reason.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { InteropClient } from "./client.ts";
import { suites } from "./grpc-suite/suites.ts";
import { cache, exportProtos } from "./protos.ts";
import { clientFolders, skipped } from "./skipped.ts";
import { preparePython } from "./zitadel-python/prepare.ts";

const protos = await exportProtos();
for (const folder of clientFolders) {
  const file = pathToFileURL(join(import.meta.dirname, folder, "client.ts")).href;
  const { client } = (await import(file)) as { readonly client: InteropClient };
  await build(folder, (directory) => client.prepare({ directory, protos }));
}
for (const [folder, suite] of Object.entries(suites)) await build(folder, (directory) => suite.prepare(directory));
await build("zitadel-python", preparePython);

async function build(folder: string, prepare: (directory: string) => Promise<unknown>): Promise<void> {
  if (skipped.has(folder)) return;
  const directory = join(cache, folder);
  mkdirSync(directory, { recursive: true });
  const begun = performance.now();
  const outcome = await prepare(directory).then(
    () => "built",
    (error: Error) => error.message,
  );
  process.stdout.write(`${folder}: ${outcome} (${Math.round((performance.now() - begun) / 1000)} s)\n`);
}
