// Histories whose answer is known, for every checker.
import { createRandom } from "../process/random.ts";
import { type Answer, apply, type Call, type Model, type Operation } from "./checker.ts";

export const model: Model = { inherited: ["OTP", "U2F"], initial: { sequence: 1, own: undefined } };

const add = (factor: string): Call => ({ kind: "add", factor });
const remove = (factor: string): Call => ({ kind: "remove", factor });
export const create = (...factors: string[]): Call => ({ kind: "create", factors });
const reset: Call = { kind: "reset" };
const read: Call = { kind: "read" };
const list: Call = { kind: "list" };

export const wrote = (sequence: number): Answer => ({ kind: "written", sequence });
const own = (sequence: number, ...factors: string[]): Answer => ({
  kind: "shown",
  isDefault: false,
  sequence,
  factors,
});
const inherited: Answer = { kind: "shown", isDefault: true, factors: ["OTP", "U2F"] };
const listed = (...factors: string[]): Answer => ({ kind: "shown", factors });
const exists: Answer = { kind: "refused", reason: "exists" };
const missing: Answer = { kind: "refused", reason: "missing" };
const failed: Answer = { kind: "failed" };
const unknown: Answer = { kind: "unknown" };

type Line = readonly [start: number, end: number, call: Call, answer: Answer];
export const toOperations = (lines: readonly Line[]): Operation[] =>
  lines.map(([start, end, call, answer], client) => ({ organization: "acme", client, call, answer, start, end }));

/** Linearizable. */
export const right: Readonly<Record<string, readonly Line[]>> = {
  "one call after the other": [
    [0, 1, read, inherited],
    [2, 3, create("OTP"), wrote(2)],
    [4, 5, read, own(2, "OTP")],
    [6, 7, add("OTP"), exists],
    [8, 9, add("SMS"), wrote(3)],
    [10, 11, list, listed("OTP", "SMS")],
    [12, 13, remove("U2F"), missing],
    [14, 15, remove("OTP"), wrote(4)],
    [16, 17, reset, wrote(5)],
    [18, 19, reset, missing],
    [20, 21, read, inherited],
  ],
  "a copy of what is inherited before the first change of it": [
    [0, 1, add("SMS"), wrote(3)],
    [2, 3, read, own(3, "OTP", "U2F", "SMS")],
    [4, 5, reset, wrote(4)],
    [6, 7, add("OTP"), wrote(5)],
    [8, 9, reset, wrote(6)],
    [10, 11, remove("OTP"), wrote(8)],
    [12, 13, list, listed("U2F")],
  ],
  "a read beside a write, which shows it or does not": [
    [0, 9, create(), wrote(2)],
    [1, 2, read, own(2)],
    [3, 9, list, listed()],
    [0, 1, read, inherited],
  ],
  "writes that were answered in another order than they were written": [
    [0, 20, create(), wrote(2)],
    [0, 10, add("SMS"), wrote(3)],
    [0, 5, remove("SMS"), wrote(4)],
  ],
  "a lost answer whose write is there": [
    [0, 1, create(), wrote(2)],
    [2, 3, add("SMS"), unknown],
    [4, 5, read, own(3, "SMS")],
    [6, 7, add("OTP"), wrote(4)],
  ],
  "a lost answer whose write comes long after": [
    [0, 1, create(), wrote(2)],
    [2, 3, add("SMS"), unknown],
    [4, 5, read, own(2)],
    [6, 7, add("OTP"), wrote(4)],
    [8, 9, read, own(4, "SMS", "OTP")],
  ],
  "a lost answer whose write never comes": [
    [0, 1, create(), wrote(2)],
    [2, 3, add("SMS"), unknown],
    [4, 5, add("OTP"), wrote(3)],
    [6, 7, read, own(3, "OTP")],
  ],
  "a lost answer that explains a copy": [
    [0, 1, add("OTP"), unknown],
    [2, 3, add("SMS"), wrote(3)],
    [4, 5, list, listed("OTP", "U2F", "SMS")],
  ],
  "a failure that says nothing of the policy": [
    [0, 1, create(), wrote(2)],
    [2, 3, add("SMS"), failed],
    [4, 5, list, listed()],
  ],
};

/** Not linearizable, with what our checker says of each. */
export const wrong: Readonly<Record<string, { readonly lines: readonly Line[]; readonly says: RegExp }>> = {
  "a stale read": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, read, own(2)],
    ],
    says: /client 2: read.* is stale: it shows what was at sequence 2/,
  },
  "a stale read without a sequence": {
    lines: [
      [0, 1, create("OTP"), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, list, listed("OTP")],
    ],
    says: /client 2: list.* is stale: it shows what was at sequence 2/,
  },
  "reads that go back": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 9, add("SMS"), wrote(3)],
      [3, 4, read, own(3, "SMS")],
      [5, 6, read, own(2)],
    ],
    says: /client 3: read.* is stale/,
  },
  "a lost acknowledged write": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, add("OTP"), wrote(4)],
      [6, 7, read, own(4, "OTP")],
    ],
    says: /client 3: read.* shows what never was/,
  },
  "a lost acknowledged write whose sequence another one has": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, add("OTP"), wrote(3)],
    ],
    says: /sequence 3 was acknowledged twice: \[client 1.*\[client 2/,
  },
  "a doubled write": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(4)],
      [4, 5, read, own(4, "SMS", "SMS")],
    ],
    says: /client 1: add SMS.* leaves sequence 3 to nobody/,
  },
  "a write that was acknowledged twice": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, add("SMS"), wrote(4)],
    ],
    says: /client 2: add SMS.* was acknowledged where it is refused \(exists\)/,
  },
  "a lost answer whose write is there twice": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), unknown],
      [4, 5, remove("SMS"), wrote(4)],
      [6, 7, list, listed("SMS")],
    ],
    says: /client 3: list.* shows what never was/,
  },
  "a gap in the sequences": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(3)],
      [4, 5, add("OTP"), wrote(5)],
    ],
    says: /client 2: add OTP.* leaves sequence 4 to nobody/,
  },
  "a copy that is no event": {
    lines: [[0, 1, add("SMS"), wrote(2)]],
    says: /client 0: add SMS.* claims a sequence that was written before/,
  },
  "sequences against the time": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), wrote(4)],
      [4, 5, add("OTP"), wrote(3)],
    ],
    says: /client 1: add SMS.* leaves sequence 3 to nobody/,
  },
  "a read of the future": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, read, own(3, "SMS")],
      [4, 5, add("SMS"), wrote(3)],
    ],
    says: /client 1: read.* is of the future: it shows what was not written before sequence 3/,
  },
  "a refused call that had effect": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, remove("SMS"), wrote(3)],
    ],
    says: /client 1: remove SMS.* refused \(missing\)/,
  },
  "a failed call that had effect": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), failed],
      [4, 5, read, own(3, "SMS")],
    ],
    says: /client 2: read.* it would fit if \[client 1: add SMS.* had taken effect all the same/,
  },
  "a call that was refused although it should not have been": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), exists],
    ],
    says: /client 1: add SMS.* was refused, and should not have been/,
  },
  "a call that was refused, and had effect": {
    lines: [
      [0, 1, create(), wrote(2)],
      [2, 3, add("SMS"), exists],
      [4, 5, list, listed("SMS")],
    ],
    says: /it would fit if \[client 1: add SMS.*refused: exists\] had taken effect all the same/,
  },
  "a default that is nobody's": {
    lines: [[0, 1, read, { kind: "shown", isDefault: true, factors: ["OTP"] }]],
    says: /client 0: read.* shows what never was/,
  },
};

/** The history with one answer changed, so that no order fits any more. */
export function spoil(history: readonly Operation[]): Readonly<Record<string, readonly Operation[]>> {
  const change = (kind: Answer["kind"], changed: (answer: never) => Answer) => {
    const index = history.findIndex((operation, at) => at > history.length / 2 && operation.answer.kind === kind);
    return history.map((operation, at) =>
      at === index ? { ...operation, answer: changed(operation.answer as never) } : operation,
    );
  };
  return {
    acknowledgement: change("written", ({ sequence }: { sequence: number }) => wrote(sequence + 1000)),
    read: change("shown", () => own(2, "OTP", "OTP")),
    refusal: change("refused", ({ reason }: { reason: string }) => (reason === "exists" ? missing : exists)),
  };
}

/** What one copy answers to eight clients at once, with some answers lost on the way back, and some calls on the way there. */
export function makeHistory(seed: number, calls = 3000): Operation[] {
  const random = createRandom(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
  const factors = ["OTP", "U2F", "SMS"];
  const free = Array.from({ length: 8 }, () => 0);
  let state = model.initial;
  return Array.from({ length: calls }, (_, index) => {
    // Each call takes effect at the time of its index, which lies within it.
    const client = pick([...free.keys()].filter((one) => (free[one] ?? 0) <= index));
    const start = Math.max(free[client] ?? 0, index - random() * 6);
    const end = index + random() * 6;
    free[client] = Math.ceil(end);
    const call = pick([add(pick(factors)), remove(pick(factors)), create(pick(factors)), reset, read, list]);
    const base = { organization: "acme", client, call, start, end };
    if (random() < 0.01) return { ...base, answer: pick([failed, unknown]) };
    const next = apply(state, call, model);
    if (typeof next === "string") return { ...base, answer: { kind: "refused", reason: next } };
    const answer = next === state ? show(state) : wrote(next.sequence);
    state = next;
    return { ...base, answer: random() < 0.01 ? unknown : answer };
  });
}

const show = ({ own: factors, sequence }: Model["initial"]): Answer =>
  factors === undefined ? inherited : own(sequence, ...factors);
