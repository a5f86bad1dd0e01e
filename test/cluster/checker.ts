// Says whether a history of calls is one that a single copy of the policies could have answered, one call after the other.

/** What a client asked of one organization. */
export type Call =
  | { readonly kind: "add" | "remove"; readonly factor: string }
  | { readonly kind: "create"; readonly factors: readonly string[] }
  | { readonly kind: "reset" | "read" | "list" };

export type Answer =
  | { readonly kind: "written"; readonly sequence: number }
  | Shown
  /** By a rule: nothing was written, and the policy was such that the rule applies. */
  | { readonly kind: "refused"; readonly reason: Refusal }
  /** Nothing was written, and nothing is said of the policy. */
  | { readonly kind: "failed" }
  /** Perhaps written, at any time from the start of the call on, also after its end. */
  | { readonly kind: "unknown" };

export interface Shown {
  readonly kind: "shown";
  readonly factors: readonly string[];
  /** Absent where the answer does not tell. */
  readonly isDefault?: boolean;
  /** The organization's, of the last change of its own policy. */
  readonly sequence?: number;
  /** The newest event of the whole store that the answer reflects. */
  readonly position?: number;
}

export type Refusal = "exists" | "missing";

/** One call. What ended before another one started came before it; nothing else is known of their order. */
export interface Operation {
  readonly organization: string;
  readonly client: number;
  readonly call: Call;
  readonly answer: Answer;
  readonly start: number;
  readonly end: number;
}

/** The login policy of an organization; `own` is undefined while it inherits. */
export interface PolicyState {
  readonly sequence: number;
  readonly own: readonly string[] | undefined;
}

export interface Model {
  readonly inherited: readonly string[];
  /** How every organization begins. */
  readonly initial: PolicyState;
}

export type Violation = string;

/** What is wrong with a history; empty where it is linearizable, each acknowledged write exactly once. */
export function checkHistory(operations: readonly Operation[], model: Model): readonly Violation[] {
  const organizations = Map.groupBy(operations, ({ organization }) => organization);
  return [...organizations].flatMap(([organization, own]) =>
    checkOrganization(own, model).map((violation) => `organization ${organization}: ${violation}`),
  );
}

function checkOrganization(operations: readonly Operation[], model: Model): readonly Violation[] {
  const repeats = findRepeats(operations);
  if (repeats.length > 0) return repeats;
  const found = linearize(operations, model);
  return found.dead === undefined ? [] : [explain(operations, found.dead, model)];
}

function findRepeats(operations: readonly Operation[]): readonly Violation[] {
  const bySequence = Map.groupBy(operations, sequenceOf);
  bySequence.delete(undefined);
  return [...bySequence]
    .filter(([, claimants]) => claimants.length > 1)
    .map(([sequence, claimants]) => `sequence ${sequence} was acknowledged twice: ${claimants.map(name).join("; ")}`);
}

const sequenceOf = ({ answer }: Operation) => (answer.kind === "written" ? answer.sequence : undefined);

/** The policy after a call that is obeyed, or why it is refused. */
export function apply(state: PolicyState, call: Call, { inherited }: Model): PolicyState | Refusal {
  const { own, sequence } = state;
  const effective = own ?? inherited;
  const after = (factors: readonly string[] | undefined, events: number) => ({
    sequence: sequence + events,
    own: factors,
  });
  // The first change of what is inherited copies it, which is an event of its own.
  const copies = own === undefined ? 1 : 0;
  switch (call.kind) {
    case "add":
      if (own?.includes(call.factor)) return "exists";
      return effective.includes(call.factor) ? after(effective, 1) : after([...effective, call.factor], copies + 1);
    case "remove":
      if (!effective.includes(call.factor)) return "missing";
      return after(
        effective.filter((factor) => factor !== call.factor),
        copies + 1,
      );
    case "create":
      return own === undefined ? after(call.factors, 1) : "exists";
    case "reset":
      return own === undefined ? "missing" : after(undefined, 1);
    default:
      return state;
  }
}

/** Whether a call that wrote nothing may have been answered so in this state. */
function fits(state: PolicyState, { call, answer }: Operation, model: Model): boolean {
  if (answer.kind === "refused") return apply(state, call, model) === answer.reason;
  if (answer.kind !== "shown") return false;
  const { own, sequence } = state;
  if (answer.isDefault !== undefined && answer.isDefault !== (own === undefined)) return false;
  if (answer.sequence !== undefined && own !== undefined && answer.sequence !== sequence) return false;
  return isSameList(answer.factors, own ?? model.inherited);
}

export const isSameList = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((one, index) => one === b[index]);

/** A place in the search: what was put in order so far led to this state. */
interface Place {
  readonly state: PolicyState;
  /** All certain calls before this index are in order, and of those after it the ones in `done`. */
  readonly low: number;
  readonly done: ReadonlySet<number>;
  /** Calls of unknown outcome that had effect. */
  readonly used: ReadonlySet<number>;
}

/** Where no order goes on. */
interface DeadEnd {
  readonly state: PolicyState;
  /** The first call to end of those that had to come next. */
  readonly blocked: Operation;
}

interface Found {
  readonly dead?: DeadEnd;
  readonly used: readonly Operation[];
}

/**
 * Looks for an order that every answer fits and that contradicts no times. A call may come next when none that is still open
 * ended before it began. What changes nothing is taken as soon as it fits, which never spoils an order; an acknowledged write
 * has its place by its sequence; so only writes of unknown outcome make branches, and only where a sequence is free. Where even those are too many, the
 * search ends without an order.
 */
function linearize(operations: readonly Operation[], model: Model, maxPlaces = 100_000): Found {
  const byStart = operations.toSorted((a, b) => a.start - b.start);
  const certain = byStart.filter(({ answer }) => ["written", "shown", "refused"].includes(answer.kind));
  const unknown = byStart.filter(({ call, answer }) => answer.kind === "unknown" && isWrite(call));
  const acknowledged = new Set(certain.map(sequenceOf));
  const seen = new Set<string>();
  const places: Place[] = [{ state: model.initial, low: 0, done: new Set(), used: new Set() }];
  let deepest: (DeadEnd & { readonly depth: number }) | undefined;
  for (let place = places.pop(); place !== undefined; place = places.pop()) {
    const settled = settle(place, certain, model);
    const { state, low, done, used } = settled;
    const key = `${state.sequence} ${state.own} ${low} ${[...done]} ${[...used]}`;
    if (seen.has(key)) continue;
    if (seen.size === maxPlaces) break;
    seen.add(key);
    const open = openCalls(settled, certain);
    const blocked = open.calls.map((index) => certain[index] as Operation).sort((a, b) => a.end - b.end)[0];
    if (blocked === undefined) return { used: [...used].map((index) => unknown[index] as Operation) };
    const depth = low + done.size;
    if (deepest === undefined || depth > deepest.depth) deepest = { state, blocked, depth };

    for (const index of firstOfEach(unknown, used)) {
      const operation = unknown[index] as Operation;
      const next = operation.start > open.until ? undefined : written(state, operation.call, model);
      if (next === undefined || claims(acknowledged, state.sequence, next.sequence)) continue;
      places.push({ ...settled, state: next, used: new Set([...used, index].sort((a, b) => a - b)) });
    }
    for (const index of open.calls) {
      const operation = certain[index] as Operation;
      const next = written(state, operation.call, model);
      if (next === undefined || next.sequence !== sequenceOf(operation)) continue;
      places.push({ ...settled, state: next, done: new Set([...done, index].sort((a, b) => a - b)) });
    }
  }
  return deepest === undefined ? { used: [] } : { dead: deepest, used: [] };
}

/** Of calls that ask for the same, the first: where a later one could have had effect, it could as well. */
function firstOfEach(unknown: readonly Operation[], used: ReadonlySet<number>): Iterable<number> {
  const first = new Map<string, number>();
  for (const [index, { call }] of unknown.entries()) {
    const asked = JSON.stringify(call);
    if (!used.has(index) && !first.has(asked)) first.set(asked, index);
  }
  return first.values();
}

const isWrite = ({ kind }: Call): boolean => kind !== "read" && kind !== "list";

function written(state: PolicyState, call: Call, model: Model): PolicyState | undefined {
  const next = apply(state, call, model);
  return typeof next === "string" || next.sequence === state.sequence ? undefined : next;
}

function claims(acknowledged: ReadonlySet<number | undefined>, after: number, last: number): boolean {
  for (let sequence = after + 1; sequence <= last; sequence += 1) if (acknowledged.has(sequence)) return true;
  return false;
}

/** The indexes of the calls that may come next, and the time by which another one must have begun to come before them. */
function openCalls({ low, done }: Place, certain: readonly Operation[]): { calls: number[]; until: number } {
  let until = Number.POSITIVE_INFINITY;
  const calls: number[] = [];
  for (let index = low; index < certain.length; index += 1) {
    const { start, end } = certain[index] as Operation;
    if (start > until) break;
    if (done.has(index)) continue;
    calls.push(index);
    until = Math.min(until, end);
  }
  return { calls: calls.filter((index) => (certain[index] as Operation).start <= until), until };
}

/** Takes everything that fits and changes nothing. */
function settle(place: Place, certain: readonly Operation[], model: Model): Place {
  const done = new Set(place.done);
  let { low } = place;
  for (;;) {
    while (done.delete(low)) low += 1;
    const { calls } = openCalls({ ...place, low, done }, certain);
    const taken = calls.filter((index) => fits(place.state, certain[index] as Operation, model));
    if (taken.length === 0) return { ...place, low, done: new Set([...done].sort((a, b) => a - b)) };
    for (const index of taken) done.add(index);
  }
}

function explain(operations: readonly Operation[], { state, blocked }: DeadEnd, model: Model): Violation {
  const before = `after sequence ${state.sequence} (${describe(state, model)})`;
  const reason = reasonOf(operations, { state, blocked }, model);
  const culprit = findCulprit(operations, blocked, model);
  const hint = culprit === undefined ? "" : `; it would fit if ${name(culprit)} had taken effect all the same`;
  return `${name(blocked)} ${reason} ${before}${hint}`;
}

function reasonOf(operations: readonly Operation[], { state, blocked }: DeadEnd, model: Model): string {
  const { call, answer } = blocked;
  if (answer.kind === "refused") return "was refused, and should not have been,";
  if (answer.kind === "shown") return `${staleOrFuture(operations, { state, blocked }, model)}, and came`;
  const next = apply(state, call, model);
  if (typeof next === "string") return `was acknowledged where it is refused (${next}),`;
  const sequence = sequenceOf(blocked) ?? 0;
  if (sequence > next.sequence) return `leaves sequence ${state.sequence + 1} to nobody`;
  return "claims a sequence that was written before it began,";
}

/** Compares with what the acknowledged writes come to in the order of their sequences, whatever their times. */
function staleOrFuture(operations: readonly Operation[], { state, blocked }: DeadEnd, model: Model): string {
  const fitting: number[] = [];
  let at: PolicyState | undefined = model.initial;
  const writes = operations.filter((one) => sequenceOf(one) !== undefined);
  writes.sort((a, b) => (sequenceOf(a) ?? 0) - (sequenceOf(b) ?? 0));
  for (const write of [undefined, ...writes]) {
    at = at && write ? written(at, write.call, model) : at;
    if (at !== undefined && fits(at, blocked, model)) fitting.push(at.sequence);
  }
  const earlier = fitting.findLast((sequence) => sequence < state.sequence);
  const later = fitting.find((sequence) => sequence > state.sequence);
  if (earlier !== undefined) return `is stale: it shows what was at sequence ${earlier}`;
  if (later !== undefined) return `is of the future: it shows what was not written before sequence ${later}`;
  return "shows what never was";
}

/** A call that is said to have written nothing, not long before, and without whose effect the history does not hold. */
function findCulprit(operations: readonly Operation[], blocked: Operation, model: Model): Operation | undefined {
  const denials = operations.filter(({ answer, start }) => isDenial(answer) && start < blocked.end);
  const doubted = new Map(
    denials.slice(-20).map((operation) => [operation, { ...operation, answer: { kind: "unknown" } } as const]),
  );
  const { used } = linearize(
    operations.map((operation) => doubted.get(operation) ?? operation),
    model,
  );
  return [...doubted].find(([, maybe]) => used.includes(maybe))?.[0];
}

const isDenial = ({ kind }: Answer): boolean => kind === "refused" || kind === "failed";

const describe = ({ own }: PolicyState, { inherited }: Model): string =>
  own === undefined ? `inherited ${inherited}` : `own ${own}`;

/** One call in a few words. */
export function name({ client, call, answer, start, end }: Operation): string {
  const what = "factor" in call ? ` ${call.factor}` : "factors" in call ? ` ${call.factors}` : "";
  return `[client ${client}: ${call.kind}${what}, ${start.toFixed(1)} to ${end.toFixed(1)}, ${nameAnswer(answer)}]`;
}

function nameAnswer(answer: Answer): string {
  switch (answer.kind) {
    case "written":
      return `sequence ${answer.sequence}`;
    case "refused":
      return `refused: ${answer.reason}`;
    case "shown":
      return `shown ${answer.isDefault ? "inherited " : ""}${answer.factors} of sequence ${answer.sequence ?? "?"}`;
    default:
      return answer.kind;
  }
}
