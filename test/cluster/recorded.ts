// Compares a history with the events that are in the store at its end.
import { openStore } from "../../src/store/open.ts";
import { query } from "../fixtures/postgres.ts";
import { checkContiguous, type EventRow, readEventsAt } from "../process/database.ts";
import { type Call, isSameList, name, type Operation, type PolicyState, type Violation } from "./checker.ts";

/** Every event, in the order of positions. */
export async function readEvents(store: string): Promise<EventRow[]> {
  if (store.startsWith("sqlite:")) return readEventsAt(store.slice("sqlite:".length));
  const { rows } = await query(
    store,
    `SELECT position, aggregate_type AS "aggregateType", aggregate_id AS "aggregateId", sequence, type, payload, actor
      FROM portcullis.events ORDER BY position`,
  );
  return rows.map((row) => ({
    ...row,
    position: Number(row.position),
    sequence: Number(row.sequence),
    payload: JSON.parse(row.payload),
  }));
}

/** When each event was recorded, in the order of positions. */
export async function readTimes(store: string): Promise<number[]> {
  const opened = await openStore({ location: store });
  try {
    return await opened.export(async (history) => {
      const times: number[] = [];
      for await (const { recordedAt } of history.events()) times.push(recordedAt);
      return times;
    });
  } finally {
    await opened.close();
  }
}

/** What is wrong: sequences, writes that are missing, changed or nobody's, and lists that show another moment than they say. */
export function checkRecorded(
  operations: readonly Operation[],
  events: readonly EventRow[],
  inherited: readonly string[],
): readonly Violation[] {
  try {
    checkContiguous(events);
  } catch (error) {
    return [(error as Error).message];
  }
  return [
    ...checkWrites(operations, events),
    ...checkLists(operations, events, inherited),
    ...checkPositions(operations, events),
  ];
}

const place = (organization: string, sequence: number) => `${organization} ${sequence}`;
const placeOf = ({ aggregateId, sequence }: EventRow) => place(aggregateId, sequence);

/** Each acknowledged write is there as it was asked for, and everything else is of a call whose outcome nobody knows, once. */
function checkWrites(operations: readonly Operation[], events: readonly EventRow[]): Violation[] {
  const violations: Violation[] = [];
  const unclaimed = new Map(events.filter(isOfPolicy).map((event) => [placeOf(event), event]));
  for (const operation of operations) {
    const { organization, call, answer } = operation;
    if (answer.kind !== "written") continue;
    const event = unclaimed.get(place(organization, answer.sequence));
    unclaimed.delete(place(organization, answer.sequence));
    if (event === undefined) violations.push(`${name(operation)} is not in the store`);
    else if (!isEffect(event, call)) violations.push(`${name(operation)} is in the store as ${nameEvent(event)}`);
  }
  const unknown = operations.filter(({ answer }) => answer.kind === "unknown");
  for (const event of unclaimed.values()) {
    // Goes with the change after it, or is the effect of an unknown addition of what is inherited.
    if (isCopy(event)) continue;
    const cause = unknown.findIndex(
      ({ organization, call }) => organization === event.aggregateId && isEffect(event, call),
    );
    if (cause === -1) violations.push(`no call that may have written it is left for ${nameEvent(event)}`);
    else unknown.splice(cause, 1);
  }
  return violations;
}

const policyEvents = ["LoginPolicyAdded", "LoginPolicyRemoved", "SecondFactorAdded", "SecondFactorRemoved"];
const isOfPolicy = ({ aggregateType, type }: EventRow) =>
  aggregateType === "organization" && policyEvents.includes(type);
const isCopy = ({ payload }: EventRow) => "copiedFromSequence" in payload;

/** Whether it can be the last event of the call. */
function isEffect(event: EventRow, call: Call): boolean {
  switch (event.type) {
    case "SecondFactorAdded":
      return call.kind === "add" && call.factor === factorOf(event);
    case "SecondFactorRemoved":
      return call.kind === "remove" && call.factor === factorOf(event);
    case "LoginPolicyRemoved":
      return call.kind === "reset";
    case "LoginPolicyAdded":
      if (isCopy(event)) return call.kind === "add" && factorsOf(event).includes(call.factor);
      return call.kind === "create" && isSameList(factorsOf(event), call.factors);
    default:
      return false;
  }
}

const factorOf = ({ payload }: EventRow): string => String(payload["factor"]).toUpperCase();
const factorsOf = ({ payload }: EventRow): string[] =>
  (payload["secondFactors"] as string[]).map((factor) => factor.toUpperCase());
const nameEvent = ({ type, payload, ...event }: EventRow): string =>
  `event ${type} ${payload["factor"] ?? ""} (sequence ${event.sequence} of ${event.aggregateId}, position ${event.position})`;

/** A list says as of which position it is; that is what it must show. */
function checkLists(
  operations: readonly Operation[],
  events: readonly EventRow[],
  inherited: readonly string[],
): Violation[] {
  const states = new Map<string, { readonly position: number; readonly own: PolicyState["own"] }[]>();
  for (const event of events.filter(isOfPolicy)) {
    const before = states.get(event.aggregateId) ?? [];
    states.set(event.aggregateId, before);
    before.push({ position: event.position, own: evolve(before.at(-1)?.own ?? [], event) });
  }
  return operations.flatMap((operation) => {
    const { organization, answer } = operation;
    if (answer.kind !== "shown" || answer.position === undefined) return [];
    const { position, factors } = answer;
    const state = states.get(organization)?.findLast((one) => one.position <= position);
    if (isSameList(factors, state?.own ?? inherited)) return [];
    return [`${name(operation)} says position ${position}, where the store has ${state?.own ?? inherited}`];
  });
}

function evolve(own: readonly string[], event: EventRow): PolicyState["own"] {
  switch (event.type) {
    case "LoginPolicyAdded":
      return factorsOf(event);
    case "SecondFactorAdded":
      return [...own, factorOf(event)];
    case "SecondFactorRemoved":
      return own.filter((factor) => factor !== factorOf(event));
    default:
      return undefined;
  }
}

/** A list shows no earlier position than any write or list that ended before it began, of whichever organization. */
function checkPositions(operations: readonly Operation[], events: readonly EventRow[]): Violation[] {
  const positions = new Map(events.filter(isOfPolicy).map((event) => [placeOf(event), event.position]));
  const known = operations
    .map((operation) => ({ operation, position: positionOf(operation, positions) }))
    .filter((one): one is { operation: Operation; position: number } => one.position !== undefined);
  const byEnd = known.toSorted((a, b) => a.operation.end - b.operation.end);
  const violations: Violation[] = [];
  let floor = 0;
  let ended = 0;
  for (const { operation, position } of known.toSorted((a, b) => a.operation.start - b.operation.start)) {
    for (; (byEnd[ended]?.operation.end ?? Number.POSITIVE_INFINITY) < operation.start; ended += 1) {
      floor = Math.max(floor, byEnd[ended]?.position ?? 0);
    }
    if (position < floor) violations.push(`${name(operation)} is of position ${position}, after ${floor} was known`);
  }
  return violations;
}

function positionOf({ organization, answer }: Operation, positions: ReadonlyMap<string, number>): number | undefined {
  if (answer.kind === "shown") return answer.position;
  return answer.kind === "written" ? positions.get(place(organization, answer.sequence)) : undefined;
}
