import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { abortableBy, addressOf, CallerTurns, connectionKey } from "../../../../src/rpc/call/caller-turns.ts";

/** Turns that pass when the test says so. */
function createTurns(options: { readonly maxInFlight?: number } = {}) {
  const scheduled: (() => void)[] = [];
  const turns = new CallerTurns({ ...options, schedule: (turn) => scheduled.push(turn) });
  /** Begun calls, by their names, in the order in which they began. */
  const begun: string[] = [];
  const refused: string[] = [];
  return {
    turns,
    begun,
    refused,
    scheduled,
    /** Whether it begins at once. */
    call(caller: string, name: string, signal: AbortSignal = new AbortController().signal): boolean {
      const turn = turns.begin(caller, abortableBy(signal));
      if (turn === undefined) begun.push(name);
      void turn?.then(
        () => begun.push(name),
        () => refused.push(name),
      );
      return turn === undefined;
    },
    /** One turn of the event loop. */
    async pass(): Promise<void> {
      for (const turn of scheduled.splice(0)) turn();
      await new Promise<void>((resolve) => setImmediate(resolve));
    },
  };
}

const names = (caller: string, count: number, from = 1) =>
  Array.from({ length: count }, (_, index) => `${caller}${from + index}`);

it.each([0, -1, 1.5, Number.NaN, "200"])("CallerTurns refuses a maxInFlight of %j", (maxInFlight) => {
  expect(() => new CallerTurns({ maxInFlight: maxInFlight as number })).toThrow(TypeError);
});

describe("CallerTurns", () => {
  it("begins the calls of a caller at once while they are few", () => {
    const { call, begun } = createTurns();
    for (const name of names("a", 16)) expect(call("a", name)).toBe(true);
    expect(begun).toEqual(names("a", 16));
  });

  it("begins the further calls of a caller in later turns, in their order", async () => {
    const { call, begun, pass } = createTurns();
    for (const name of names("a", 40)) call("a", name);
    expect(begun).toEqual(names("a", 16));
    await pass();
    expect(begun).toEqual(names("a", 32));
    await pass();
    expect(begun).toEqual(names("a", 40));
  });

  it("begins the call of another caller at once, however many of the first one wait", async () => {
    const { call, begun, pass } = createTurns();
    for (const name of names("a", 1_000)) call("a", name);
    await pass();
    expect(call("b", "b1")).toBe(true);
    expect(begun.at(-1)).toBe("b1");
  });

  it("does not let a new call go before those that wait", async () => {
    const { call, begun, pass, turns } = createTurns({ maxInFlight: 1 });
    for (const name of names("a", 2)) call("a", name);
    await pass();
    turns.end("a");
    call("a", "late");
    await pass();
    expect(begun).toEqual(["a1", "a2"]);
  });

  it("shares a turn between all that have calls waiting, with one for each at least", async () => {
    const { call, begun, pass } = createTurns();
    const callers = names("caller ", 20);
    for (const caller of callers) for (const name of names(`${caller} `, 40)) call(caller, name);
    await pass();
    begun.length = 0;
    await pass();
    expect(begun).toHaveLength(20);
    expect(new Set(begun.map((name) => name.replace(/ \d+$/, "")))).toEqual(new Set(callers));
  });

  it("begins more at once of a caller who has been alone for some turns, until there is another", async () => {
    const { call, begun, pass } = createTurns({ maxInFlight: 10_000 });
    for (const name of names("a", 2_000)) call("a", name);
    for (let turn = 0; turn < 50; turn += 1) await pass();
    expect(begun).toHaveLength(51 * 16);
    await pass();
    expect(begun).toHaveLength(51 * 16 + 128);
    call("b", "b1");
    expect(begun.at(-1)).toBe("b1");
    await pass();
    expect(begun).toHaveLength(51 * 16 + 128 + 1 + 8);
  });

  it("has no more in flight of one caller than it may, and begins the next when one ends", async () => {
    const { call, begun, pass, turns } = createTurns({ maxInFlight: 3 });
    for (const name of names("a", 5)) call("a", name);
    await pass();
    await pass();
    expect(begun).toEqual(names("a", 3));
    turns.end("a");
    await pass();
    expect(begun).toEqual(names("a", 4));
    expect(call("b", "b1")).toBe(true);
  });

  it("refuses what is too much, in turns, and lets what waits wait", async () => {
    const { turns, call, refused, begun, pass } = createTurns({ maxInFlight: 1 });
    for (const name of names("a", 11)) call("a", name);
    const tooMuch = turns.begin("a", abortableBy(new AbortController().signal));
    for (const name of names("b", 40, 12)) call("a", name);
    await Promise.all([
      expect(tooMuch).rejects.toMatchObject({
        code: Code.ResourceExhausted,
        rawMessage: "too many calls of yours are waiting: send fewer at once, and try this one again later",
      }),
      pass(),
    ]);
    // Half of the turn is for those that wait.
    expect(refused).toHaveLength(7);
    await pass();
    expect(refused).toHaveLength(15);
    for (let turn = 0; turn < 4; turn += 1) await pass();
    expect(refused).toEqual(names("b", 40, 12));
    expect(begun).toEqual(["a1"]);
  });

  it("takes a call out of the queue whose signal aborts, with the reason of the signal", async () => {
    const { turns, call, begun, pass } = createTurns({ maxInFlight: 1 });
    call("a", "a1");
    const gone = new AbortController();
    const waiting = turns.begin("a", abortableBy(gone.signal));
    const reason = new ConnectError("the client is gone", Code.Canceled);
    // Those behind it have its place, also in the bound of those that wait.
    for (const name of names("a", 9, 2)) call("a", name);
    gone.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    call("a", "a11");
    for (let ended = 0; ended < 10; ended += 1) {
      turns.end("a");
      await pass();
    }
    expect(begun).toEqual(names("a", 11));
  });

  it("takes out what would be refused as well, and what has aborted before", async () => {
    const { turns, call, refused, pass } = createTurns({ maxInFlight: 1 });
    for (const name of names("a", 11)) call("a", name);
    const gone = new AbortController();
    call("a", "gone", gone.signal);
    gone.abort();
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(refused).toEqual(["gone"]);
    await expect(turns.begin("a", abortableBy(AbortSignal.abort("before")))).rejects.toBe("before");
    await pass();
    expect(refused).toEqual(["gone"]);
  });

  it("does not count the end of a call that a reset took while it waited", async () => {
    const { turns, call, begun, pass } = createTurns({ maxInFlight: 1 });
    call("a", "a1");
    const gone = new AbortController();
    call("a", "gone", gone.signal);
    gone.abort();
    turns.end("a");
    call("a", "a2");
    call("a", "a3");
    await pass();
    expect(begun).toEqual(["a1", "a2"]);
  });

  it("schedules nothing when nobody waits, and forgets who has nothing in flight", async () => {
    const { turns, call, begun, scheduled, pass } = createTurns({ maxInFlight: 1 });
    call("a", "a1");
    call("a", "a2");
    await pass();
    await pass();
    expect(scheduled).toEqual([]);
    turns.end("a");
    await pass();
    turns.end("a");
    await pass();
    expect(scheduled).toEqual([]);
    // An end too many would let one more begin, were the caller still known.
    turns.end("a");
    for (const name of ["a3", "a4"]) call("a", name);
    expect(begun).toEqual(["a1", "a2", "a3"]);
  });
});

describe("addressOf", () => {
  it("is the address of the connection, while it is open", () => {
    const values = createContextValues();
    expect(addressOf(values)).toBe("unknown");
    values.set(connectionKey, { remoteAddress: "192.0.2.1" });
    expect(addressOf(values)).toBe("192.0.2.1");
  });
});
