// A node with a store of its own and no server: does one work at a time, as its parent says, and answers with calls per second.
import { createLoginPolicies } from "../src/application/login-policy.ts";
import { openStore } from "../src/store/open.ts";
import type { Store } from "../src/store/store.ts";
import { organizationId } from "./store-fixture.ts";
import { writeWith } from "./suites/writes.ts";

/** What to call, and for how long. Each caller uses the organization of its number. */
export interface StoreWork {
  readonly call: "reads" | "durable writes";
  readonly callers: readonly number[];
  readonly seconds: number;
}

const [, , location = ""] = process.argv;
const store = await openStore({ location });
process.on("message", ({ call, callers, seconds }: StoreWork) => {
  const calls =
    call === "reads" ? readWith(store, callers, seconds) : writeWith(createLoginPolicies(store), callers, seconds);
  calls.then(
    (perSecond) => process.send?.({ perSecond }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.on("SIGTERM", () => void store.close().then(() => process.exit(0)));
process.send?.("ready");

async function readWith(store: Store, callers: readonly number[], seconds: number): Promise<number> {
  const policies = createLoginPolicies(store);
  const started = performance.now();
  let reads = 0;
  const keepReading = async (caller: number) => {
    while (performance.now() < started + seconds * 1000) {
      await policies.getEffective({ organizationId: organizationId(caller) });
      reads += 1;
    }
  };
  await Promise.all(callers.map(keepReading));
  return reads / ((performance.now() - started) / 1000);
}
