import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Subject } from "../../../src/application/applied-policy.ts";
import { createPolicyHistory } from "../../../src/application/policy-history.ts";
import { createPolicyWatch, type Timers, type WatchOptions } from "../../../src/application/policy-watch.ts";
import {
  type Cursor,
  createWatchedChanges,
  type WatchedChange,
  type WatchScope,
} from "../../../src/application/watched-changes.ts";
import type { InstanceEvent, OrganizationEvent } from "../../../src/domain/events.ts";
import { StoreError } from "../../../src/store/errors.ts";
import { openStore } from "../../../src/store/open.ts";
import { instanceRef, organizationRef, type Store, userRef } from "../../../src/store/store.ts";
import { event, policyOf, settingsOf } from "../../fixtures/builders.ts";
import { sampleNote, sampleSeed } from "../../fixtures/sample.ts";
import { createRandom } from "../../process/random.ts";

const [one, two] = [organizationRef("1"), organizationRef("2")];

/** Time that passes only when it is told to. */
class ManualTimers implements Timers {
  #now = 0;
  readonly #calls = new Set<{ readonly at: number; readonly call: () => void }>();

  now = () => this.#now;
  later = (ms: number, call: () => void) => {
    const one = { at: this.#now + ms, call };
    this.#calls.add(one);
    return () => this.#calls.delete(one);
  };

  /** Lets time pass to each next call until there is a result; resolves to it. */
  async until<T>(result: Promise<T>): Promise<T> {
    let isDone = false;
    const done = () => {
      isDone = true;
    };
    result.then(done, done);
    for (;;) {
      for (let count = 0; count < 20 && !isDone; count += 1) await turn();
      if (isDone) return result;
      const next = Math.min(...[...this.#calls].map(({ at }) => at));
      if (next === Number.POSITIVE_INFINITY) continue;
      this.#now = next;
      for (const one of this.#calls) {
        if (one.at > next) continue;
        this.#calls.delete(one);
        one.call();
      }
    }
  }
}

/** A store with an instance and two organizations, and what watches it. Counts what is asked of the store. */
async function openSample() {
  const real = await openStore({ location: "memory:" });
  onTestFinished(() => real.close());
  const asked: string[] = [];
  /** What the next reads of changes reject with. */
  const faults: Error[] = [];
  const store = new Proxy(real, {
    get: (_, name: "changes" | "history" | "read") =>
      typeof real[name] !== "function"
        ? real[name]
        : (...given: [never, never]) => {
            const [first] = given as readonly { readonly after?: number; readonly id?: string }[];
            asked.push(`${name} ${first?.after ?? first?.id ?? ""}`.trim());
            const fault = name === "changes" ? faults.shift() : undefined;
            if (fault !== undefined) return Promise.reject(fault);
            return real[name](...given);
          },
  });
  await write(real, instanceRef, event.instanceCreated());
  for (const ref of [one, two]) await write(real, ref, event.organizationAdded(`Org ${ref.id}`));
  const timers = new ManualTimers();
  const changes = createWatchedChanges({ store, history: createPolicyHistory(store) });
  const follow = createPolicyWatch({ store, changes, timers });
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const watch = (scope: WatchScope, options: Partial<WatchOptions> & { readonly after: Cursor }) =>
    follow({ scope, startsWithCheckpoint: false, until: [end.signal], permit: async () => () => true, ...options });
  /** From now on. */
  const watchNow = async (scope: WatchScope, options: Partial<WatchOptions> = {}) => {
    const { position } = await real.read([]);
    const watching = watch(scope, { after: { position }, startsWithCheckpoint: true, ...options });
    await watching.next();
    return watching;
  };
  return { store: real, asked, faults, timers, watch, watchNow };
}

const write = async <T extends Subject["type"]>(
  store: Store,
  ref: { readonly type: T; readonly id: string },
  ...events: (T extends "instance" ? InstanceEvent : OrganizationEvent)[]
): Promise<number> => {
  const result = await store.execute({
    actor: "ada",
    reads: [ref],
    decide: () => ({ changes: [{ ref, events: events as never }], value: undefined }),
  });
  return result.events.at(-1)?.position ?? 0;
};

const force = (forceMfa: boolean) => event.policyChanged({ forceMfa });

type Watching = AsyncGenerator<WatchedChange | { readonly kind: "checkpoint"; readonly cursor: Cursor }>;

async function nextChange(watching: Watching): Promise<WatchedChange> {
  for (;;) {
    const { value } = await watching.next();
    if (value === undefined) throw new Error("the watch ended");
    if (value.kind === "change") return value;
  }
}

/** Where and of what a change is. */
const textOf = ({ cursor: { position, subject } }: Pick<WatchedChange, "cursor">) => `${position} ${subject}`;

describe("a watch", () => {
  it("sends a checkpoint at least every 30 s, which moves on though nothing happens that is watched", async () => {
    const { store, timers, watchNow } = await openSample();
    const watching = await watchNow([one]);
    const position = await write(store, two, event.policyAdded());
    for (let count = 1; count <= 3; count += 1) {
      const since = timers.now();
      const { value } = await timers.until(watching.next());
      expect(value).toEqual({ kind: "checkpoint", cursor: { position } });
      expect(timers.now() - since).toBeLessThanOrEqual(30_000);
      expect(timers.now() - since).toBeGreaterThan(20_000);
    }
  });

  it("asks at least every 5 s whether it may go on, and ends with what it is refused with", async () => {
    const { timers, watchNow } = await openSample();
    const at: number[] = [];
    let refusal: Error | undefined;
    const watching = await watchNow("everything", {
      async permit() {
        at.push(timers.now());
        if (refusal !== undefined) throw refusal;
        return () => true;
      },
    });
    await timers.until(watching.next());
    for (const [index, time] of at.entries()) expect(time - (at[index - 1] ?? 0)).toBeLessThan(5_000);
    expect(at.length).toBeGreaterThan(4);
    refusal = new Error("no longer");
    await expect(timers.until(watching.next())).rejects.toBe(refusal);
  });

  it("asks before every change, also where its client was slow to read the one before", async () => {
    const { store, watchNow } = await openSample();
    let allowed = true;
    const watching = await watchNow("everything", { permit: async () => () => allowed });
    for (const ref of [one, two]) await write(store, ref, event.policyAdded());
    await nextChange(watching);
    allowed = false;
    const next = nextChange(watching);
    await turn();
    allowed = true;
    const position = await write(store, one, force(true));
    expect(textOf(await next)).toBe(`${position} 1`);
  });

  it("tells of organizations that do not exist or were removed", async () => {
    const { store, watchNow } = await openSample();
    const missing: string[][] = [];
    const watching = await watchNow([one, two, organizationRef("3")], {
      async permit(sight) {
        missing.push([...sight.missing]);
        return () => true;
      },
    });
    const next = nextChange(watching);
    await write(store, one, event.organizationRemoved());
    await write(store, two, event.policyAdded());
    expect((await next).after.subject).toBe(two);
    expect(missing[0]).toEqual(["3"]);
    expect(missing.at(-1)).toEqual(["1", "3"]);
  });

  it("reads only the streams that it names and the instance's, from a position of long ago", async () => {
    const { store, asked, watch } = await openSample();
    const wanted: string[] = [];
    for (let count = 0; count < 40; count += 1) {
      const position = await write(store, one, count === 0 ? event.policyAdded() : force(count % 2 === 0));
      await write(store, two, count === 0 ? event.policyAdded() : force(count % 2 === 0));
      wanted.push(`${position} 1`);
    }
    asked.length = 0;
    const watching = watch([one], { after: { position: 0 } });
    // Before it had a policy of its own, the first one of the instance was its own.
    const found: string[] = [];
    for (let count = 0; count < 41; count += 1) found.push(textOf(await nextChange(watching)));
    expect(found).toEqual(["1 1", ...wanted]);
    expect(asked.filter((call) => call.startsWith("history")).sort()).toEqual(["history 1", "history instance"]);
    expect(asked.filter((call) => call.startsWith("changes"))).toEqual([]);
  });

  it("goes on by pages without a gap", async () => {
    const { store, watch } = await openSample();
    await write(store, one, event.policyAdded());
    await write(store, two, event.policyAdded());
    await Promise.all(
      Array.from({ length: 500 }, (_, index) =>
        write(store, index % 2 ? one : two, event.policyChanged({ defaultRedirectUri: `https://example/${index}` })),
      ),
    );
    for (const scope of ["everything", [one, two]] as const) {
      const watching = watch(scope, { after: { position: 3 } });
      const found: number[] = [];
      for (let count = 0; count < 502; count += 1) found.push((await nextChange(watching)).cursor.position);
      expect(found).toEqual(Array.from({ length: 502 }, (_, index) => index + 4));
    }
  });

  it("shares what is read among all who are at one position", async () => {
    const { store, asked, watchNow } = await openSample();
    const scopes: WatchScope[] = ["everything", [one]];
    const watchings = await Promise.all(
      Array.from({ length: 400 }, (_, index) => watchNow(scopes[index % 2] as WatchScope)),
    );
    const next = Promise.all(watchings.map(nextChange));
    for (let count = 0; count < 20; count += 1) await turn();
    asked.length = 0;
    const position = await write(store, instanceRef, force(true));
    const found = (await next).map(textOf);
    expect(new Set(found)).toEqual(new Set([`${position} `, `${position} 1`]));
    expect(asked.length).toBeLessThan(20);
  });

  it("is not woken by what it does not watch", async () => {
    const { store, asked, watchNow } = await openSample();
    const watchings = await Promise.all(Array.from({ length: 50 }, () => watchNow([one])));
    const next = Promise.all(watchings.map(nextChange));
    for (let count = 0; count < 20; count += 1) await turn();
    asked.length = 0;
    await write(store, two, event.policyAdded());
    const user = userRef("9");
    const events = [{ type: "UserAdded", version: 1, payload: { name: "ada", organizationId: "1" } }] as const;
    await store.execute({ actor: "a", reads: [user], decide: () => ({ changes: [{ ref: user, events }], value: 0 }) });
    for (let count = 0; count < 20; count += 1) await turn();
    // Only the feed looked.
    expect(asked.filter((call) => call === "read")).toEqual([]);
    await write(store, one, event.policyAdded());
    expect(new Set((await next).map(({ after }) => after.subject.id))).toEqual(new Set(["1"]));
  });

  it("ends with the store's error, and later watches go on", async () => {
    const { store, faults, watchNow } = await openSample();
    const watchings = [await watchNow([one]), await watchNow([two])];
    const next = watchings.map(nextChange);
    const fault = new StoreError("unavailable", "gone");
    faults.push(fault);
    await write(store, one, event.policyAdded());
    for (const change of next) await expect(change).rejects.toBe(fault);
    const later = nextChange(await watchNow("everything"));
    const position = await write(store, two, event.policyAdded());
    expect(textOf(await later)).toBe(`${position} 2`);
  });

  it("ends when the store closes", async () => {
    const { store, watchNow } = await openSample();
    const next = nextChange(await watchNow("everything"));
    await turn();
    await store.close();
    await expect(next).rejects.toMatchObject({ code: "closed" });
  });

  it("ends without an error when it is told to", async () => {
    const { watchNow } = await openSample();
    const end = new AbortController();
    const watching = await watchNow("everything", { until: [end.signal] });
    const next = watching.next();
    await turn();
    end.abort();
    expect(await next).toEqual({ value: undefined, done: true });
  });
});

describe("watches that break off and resume", () => {
  it(`see every change once, after repeats by their cursor are removed (${sampleNote})`, async () => {
    const { store, watch } = await openSample();
    const random = createRandom(sampleSeed);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const scopes: readonly WatchScope[] = [
      "everything",
      [one],
      [one, two],
      [instanceRef, two],
      [two, one, instanceRef],
    ];
    /** What each scope should see. */
    const wanted = scopes.map((): string[] => []);
    const own = new Set<string>();
    const subjects = [instanceRef, one, two];
    const last = "https://example/last";
    const settings = settingsOf({ defaultRedirectUri: last });

    async function record(subject: Subject, ...events: OrganizationEvent[]): Promise<void> {
      const seenBy = subject.type === "instance" ? subjects.filter(({ id }) => !own.has(id)) : [subject];
      const position = await write(store, subject as typeof one, ...events);
      for (const [index, scope] of scopes.entries()) {
        const seen = scope === "everything" ? [subject] : seenBy.filter((one) => scope.includes(one as never));
        const keys = seen.map(({ type, id }) => (type === "instance" ? "" : id)).sort();
        (wanted[index] as string[]).push(...keys.map((key) => `${position} ${key}`));
      }
    }

    async function writeSome(): Promise<void> {
      for (let count = 0; count < 150; count += 1) {
        const subject: Subject = pick(subjects);
        const isOwn = subject.type === "instance" || own.has(subject.id);
        const reset = isOwn && subject.type === "organization" && random() < 0.3;
        const events: OrganizationEvent[] = reset
          ? [event.policyRemoved()]
          : isOwn
            ? [event.policyChanged({ defaultRedirectUri: `https://example/${count}` })]
            : [event.policyCopied(policyOf({ secondFactors: [] }), 1), event.secondFactorAdded("otp")];
        if (reset) own.delete(subject.id);
        else if (subject.type === "organization") own.add(subject.id);
        await record(subject, ...events);
        for (let wait = Math.floor(random() * 3); wait > 0; wait -= 1) await turn();
      }
      for (const subject of [one, two]) {
        const changed = { type: "LoginPolicyChanged", version: 1, payload: settings } as const;
        await record(subject, own.has(subject.id) ? changed : event.policyAdded(policyOf({ settings })));
      }
    }

    async function watchAll(scope: WatchScope): Promise<string[]> {
      const found: string[] = [];
      const cursors: Cursor[] = [{ position: 3 }];
      const lastSubject = scope !== "everything" && !scope.includes(two) ? one : two;
      for (;;) {
        // Sometimes from an earlier answer, as a client that lost the last ones.
        const after = cursors[Math.max(0, cursors.length - 1 - Math.floor(random() * 3))] as Cursor;
        const watching = watch(scope, { after });
        const sent = new Set<string>();
        for (let left = Math.floor(random() * 20); left >= 0; left -= 1) {
          const change = await nextChange(watching);
          cursors.push(change.cursor);
          const text = textOf(change);
          if (sent.has(text)) throw new Error(`one watch sent ${text} twice`);
          sent.add(text);
          if (!found.includes(text)) found.push(text);
          const { owner, policy } = change.after;
          if (owner.id === lastSubject.id && policy.settings.defaultRedirectUri === last) return found;
        }
        await watching.return(undefined);
      }
    }

    const [, ...found] = await Promise.all([writeSome(), ...scopes.map(watchAll)]);
    expect(found).toEqual(wanted);
  });
});
