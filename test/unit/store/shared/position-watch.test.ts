import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StoreError } from "../../../../src/store/errors.ts";
import { PositionWatch } from "../../../../src/store/shared/position-watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A watch over a position that a test sets, with how often it was looked at. */
function makeWatch() {
  const store = { position: 0, looks: 0, failure: undefined as unknown };
  const watch = new PositionWatch({
    name: "x",
    async look() {
      store.looks += 1;
      await Promise.resolve();
      if (store.failure !== undefined) throw store.failure;
      return store.position;
    },
  });
  return { store, watch, changed: (after: number, signal?: AbortSignal) => watch.changed(after, signal) };
}

describe("PositionWatch", () => {
  it("looks while somebody waits, and not before or after", async () => {
    const { store, changed } = makeWatch();
    await vi.advanceTimersByTimeAsync(10_000);
    expect([store.looks, vi.getTimerCount()]).toEqual([0, 0]);
    const waiting = changed(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(store.looks).toBeGreaterThan(50);
    store.position = 1;
    const since = Date.now();
    await vi.advanceTimersToNextTimerAsync();
    expect(await waiting).toBe(1);
    expect(Date.now() - since).toBeLessThanOrEqual(150);
    const { looks } = store;
    await vi.advanceTimersByTimeAsync(10_000);
    expect([store.looks, vi.getTimerCount()]).toEqual([looks, 0]);
  });

  it("has one look for all who wait", async () => {
    const { store, changed } = makeWatch();
    const waiting = Array.from({ length: 1000 }, () => changed(0));
    await vi.advanceTimersByTimeAsync(0);
    // One for the first, and one that began after all of them came.
    expect([store.looks, vi.getTimerCount()]).toEqual([2, 1]);
    store.position = 3;
    await vi.advanceTimersToNextTimerAsync();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([3]));
    expect(store.looks).toBe(3);
  });

  it.each(["the last one who waits gives up", "it is closed"])("stops looking when %s", async (how) => {
    const { store, watch, changed } = makeWatch();
    const controller = new AbortController();
    const refused = expect(changed(0, controller.signal)).rejects.toThrow();
    await vi.advanceTimersByTimeAsync(50);
    if (how === "it is closed") watch.close();
    else controller.abort();
    await refused;
    const { looks } = store;
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(store.looks).toBe(looks);
  });

  it("leaves nothing with the signal of one who was answered", async () => {
    const { store, watch, changed } = makeWatch();
    const { signal } = new AbortController();
    const waiting = Array.from({ length: 1000 }, () => changed(0, signal));
    store.position = 1;
    await vi.advanceTimersByTimeAsync(0);
    await Promise.all(waiting);
    const refused = expect(changed(1, signal)).rejects.toThrow("closed");
    watch.close();
    await refused;
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("waits on while the store is unavailable", async () => {
    const { store, changed } = makeWatch();
    store.failure = new StoreError("unavailable", "The store x is gone.");
    const waiting = changed(0);
    await vi.advanceTimersByTimeAsync(10_000);
    store.failure = undefined;
    store.position = 1;
    await vi.advanceTimersToNextTimerAsync();
    expect(await waiting).toBe(1);
  });

  it("rejects all who wait with any other failure", async () => {
    const { store, changed } = makeWatch();
    store.failure = new StoreError("corrupt", "The store x is damaged.");
    const refused = [changed(0), changed(5)].map((one) => expect(one).rejects.toBe(store.failure));
    await vi.advanceTimersByTimeAsync(0);
    await Promise.all(refused);
    expect(vi.getTimerCount()).toBe(0);
  });
});
