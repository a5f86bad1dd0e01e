import { describe, expect, it } from "vitest";
import type { AggregateType } from "../../../src/domain/events.ts";
import { evolve } from "../../../src/domain/evolve.ts";
import { defaultLoginPolicy } from "../../../src/domain/login-policy/settings.ts";
import type { KeptLoginPolicy, State } from "../../../src/domain/states.ts";
import { createUpcast, type Step, steps, upcast } from "../../../src/domain/upcast.ts";
import { writtenEvents } from "./written-events.ts";

const stepsByType: Readonly<Record<string, Readonly<Record<string, readonly Step[]>>>> = steps;
const aggregateTypes = Object.keys(stepsByType) as AggregateType[];

/** The states that a history goes through. */
function statesOf(aggregateType: AggregateType): readonly State[] {
  const states: State[] = [];
  for (const [index, [type, version, payload]] of writtenEvents[aggregateType].entries()) {
    const event = upcast.event(aggregateType, { type, version, payload: JSON.parse(payload) });
    const origin = { sequence: index + 1, recordedAt: index };
    states.push(evolve(aggregateType, { state: states.at(-1) as never, event, origin }));
  }
  return states;
}

describe("events that were written", () => {
  it.each(aggregateTypes)("of an aggregate %s are all kept here, in every version", (aggregateType) => {
    const kept = new Set(writtenEvents[aggregateType].map(([type, version]) => `${type} ${version}`));
    const known = Object.entries(stepsByType[aggregateType] ?? {}).flatMap(([type, { length }]) =>
      Array.from({ length: length + 1 }, (_, index) => `${type} ${index + 1}`),
    );
    expect([...kept].sort()).toEqual(known.sort());
  });

  it.each(aggregateTypes)("of an aggregate %s can be folded", (aggregateType) => {
    expect(statesOf(aggregateType)).toHaveLength(writtenEvents[aggregateType].length);
  });

  it.each(["instance", "organization"] as const)("give the policy of an aggregate %s every setting", (type) => {
    const states = statesOf(type) as readonly { readonly loginPolicy?: KeptLoginPolicy }[];
    const policies = states.flatMap(({ loginPolicy }) => loginPolicy ?? []);
    expect(policies.length).toBeGreaterThan(5);
    const wanted = Object.keys(defaultLoginPolicy.settings).sort();
    for (const { settings } of policies) expect(Object.keys(settings).sort()).toEqual(wanted);
  });
});

describe("upcast", () => {
  const { event } = createUpcast({
    addedSettings: {},
    steps: {
      user: {
        Moved: [(payload: { to: string }) => ({ place: payload.to }), (payload: { place: string }) => [payload.place]],
        Stayed: [],
      },
    },
  });

  it.each([
    [1, { to: "here" }],
    [2, { place: "here" }],
    [3, ["here"]],
  ])("brings an event of version %i to the newest", (version, payload) => {
    expect(event("user", { type: "Moved", version, payload })).toEqual({
      type: "Moved",
      version: 3,
      payload: ["here"],
    });
  });

  it.each([
    ["user", "Moved", 4],
    ["user", "Moved", 0],
    ["user", "Moved", 1.5],
    ["user", "Stayed", 2],
    ["user", "toString", 1],
    ["client", "Moved", 1],
    ["toString", "Moved", 1],
  ])(
    "refuses, by name, an event of an aggregate %s that it does not know: %s of version %i",
    (aggregate, type, version) => {
      expect(() => event(aggregate as AggregateType, { type, version, payload: {} })).toThrow(
        `${type} of version ${version} is not known here, and may be of a newer version of the program`,
      );
    },
  );

  it("gives a state that was kept the settings that were added, and leaves those that it has", () => {
    const { hidePasswordReset: _, ...older } = defaultLoginPolicy.settings;
    const later = createUpcast({ steps, addedSettings: { hidePasswordReset: true, forceMfa: true } });
    const kept = { name: "a", removed: false, loginPolicy: { ...defaultLoginPolicy, settings: older } };
    expect(later.state("organization", kept as never).loginPolicy?.settings).toEqual({
      ...older,
      hidePasswordReset: true,
    });
    const inheriting = { name: "a", removed: false };
    expect(later.state("organization", inheriting)).toBe(inheriting);
  });
});
