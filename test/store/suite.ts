import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StoreError } from "../../src/store/errors.ts";
import type { Clock, Store } from "../../src/store/store.ts";
import { defineChangedTests } from "./suite/changed.ts";
import { defineExecuteTests } from "./suite/commands.ts";
import { defineLifecycleTests } from "./suite/lifecycle.ts";
import type { Must } from "./suite/must.ts";
import { definePageTests } from "./suite/pages.ts";
import { defineReadTests } from "./suite/reads.ts";
import { defineRecordTests } from "./suite/records.ts";
import { defineTransferTests } from "./suite/transfer.ts";

export interface SuiteOptions {
  readonly name: string;
  /** Opens the store of a place; two calls for one place open the same store. */
  readonly open: (options: { readonly place: string; readonly clock: Clock }) => Promise<Store>;
  /** Tests that do not fit the engine, each with its reason. */
  readonly except: readonly { readonly test: string; readonly reason: string }[];
}

/** The promises of store.ts, for every engine. */
export function defineStoreSuite({ name: engine, open, except }: SuiteOptions): void {
  describe(`store on ${engine}`, () => {
    let root: string;
    let places = 0;
    const unmatched = new Map(except.map(({ test, reason }) => [test, reason]));
    beforeAll(() => {
      root = mkdtempSync(join(tmpdir(), "portcullis-suite-"));
    });
    afterAll(() => {
      rmSync(root, { recursive: true, force: true });
    });

    const must: Must = (test, run) => {
      const reason = unmatched.get(test);
      unmatched.delete(test);
      if (reason !== undefined) {
        it.skip(`${test} (${reason})`);
        return;
      }
      it(test, async () => {
        const place = join(root, String(places++));
        const opened: Store[] = [];
        let now = 1_000_000;
        const reopen = async (): Promise<Store> => {
          const store = await open({ place, clock: () => now });
          opened.push(store);
          return store;
        };
        try {
          await run({ store: await reopen(), reopen, setClock: (value) => (now = value) });
          const last = opened.at(-1);
          // Whatever a test did, the history and the projection agree.
          if (last !== undefined)
            await last.verify().then(({ problems }) => expect(problems).toEqual([]), ignoreClosed);
        } finally {
          for (const store of opened) await store.close();
        }
      });
    };

    defineReadTests(must);
    definePageTests(must);
    defineChangedTests(must);
    defineRecordTests(must);
    defineExecuteTests(must);
    defineTransferTests(must);
    defineLifecycleTests(must);

    it("is excused only from tests that there are", () => {
      expect([...unmatched.keys()]).toEqual([]);
    });
  });
}

function ignoreClosed(error: unknown): void {
  if (!(error instanceof StoreError) || error.code !== "closed") throw error;
}
