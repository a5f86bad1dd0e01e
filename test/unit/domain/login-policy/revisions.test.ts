// Given the events of one stream, these are its revisions, and this applied with each.
import { describe, expect, it } from "vitest";
import {
  appliedAt,
  changesOf,
  emptyStream,
  foldEvents,
  type PolicyOwnerEvent,
  type Revision,
  type RevisionCause,
  revisionAt,
  revisionNumbered,
} from "../../../../src/domain/login-policy/revisions.ts";
import { event, policyOf, recordedAtOf, settingsOf } from "../../../fixtures/builders.ts";
import { append, streamOf, timelineOf } from "../../../fixtures/streams.ts";

const added = append(2, [event.organizationAdded()]);
const forced = policyOf({ settings: settingsOf({ forceMfa: true }) });

interface Case {
  readonly title: string;
  readonly given: readonly PolicyOwnerEvent[];
  /** Number, first and last position, cause, and second factors (undefined: it inherits). */
  readonly revisions: readonly (readonly [number, number, number, RevisionCause, readonly string[] | undefined])[];
}

const created: RevisionCause = { type: "created" };
const changed: RevisionCause = { type: "changed" };
const copied = (instanceSequence: number): RevisionCause => ({ type: "copied", instanceSequence });
const reset: RevisionCause = { type: "reset" };

const cases: readonly Case[] = [
  { title: "a new organization has none", given: streamOf(added), revisions: [] },
  {
    title: "one append is one, with the state after its last event",
    given: streamOf(
      added,
      append(5, [event.policyAdded()]),
      append(7, [
        event.policyChanged({ forceMfa: true }),
        event.secondFactorRemoved("otp"),
        event.secondFactorAdded("otp_sms"),
      ]),
      append(10, [event.secondFactorRemoved("u2f")]),
    ),
    revisions: [
      [2, 5, 5, created, ["otp", "u2f"]],
      [5, 7, 9, changed, ["u2f", "otp_sms"]],
      [6, 10, 10, changed, ["otp_sms"]],
    ],
  },
  {
    title: "an update that copies is a copy",
    given: streamOf(
      added,
      append(5, [event.policyCopied(policyOf(), 1), event.policyChanged({}), event.secondFactorRemoved("otp")]),
    ),
    revisions: [[4, 5, 7, copied(1), ["u2f"]]],
  },
  {
    title: "a reset is one, and so is a new policy after it",
    given: streamOf(
      added,
      append(5, [event.policyCopied(policyOf(), 1)]),
      append(6, [event.policyRemoved()]),
      append(7, [event.policyAdded()]),
    ),
    revisions: [
      [2, 5, 5, copied(1), ["otp", "u2f"]],
      [3, 6, 6, reset, undefined],
      [4, 7, 7, created, ["otp", "u2f"]],
    ],
  },
  {
    title: "a cause that was written wins over what the events say",
    given: streamOf(
      added,
      append(5, [event.policyAdded()]),
      append(6, [event.policyRemoved()], { cause: { type: "RolledBack", revision: 1 } }),
      append(7, [event.policyAdded()], { cause: { type: "RolledBack", revision: 2 } }),
      append(8, [event.policyChanged({}), event.secondFactorRemoved("otp")], {
        cause: { type: "RolledBack", revision: 9 },
      }),
    ),
    revisions: [
      [2, 5, 5, created, ["otp", "u2f"]],
      [3, 6, 6, { type: "rolled_back", revision: 1 }, undefined],
      [4, 7, 7, { type: "rolled_back", revision: 2 }, ["otp", "u2f"]],
      [6, 8, 9, { type: "rolled_back", revision: 9 }, ["u2f"]],
    ],
  },
  {
    title: "neither the first nor the last event of an organization makes one, alone or in an append with others",
    given: streamOf(
      append(2, [event.organizationAdded(), event.policyAdded()]),
      append(9, [event.policyRemoved(), event.organizationRemoved()]),
    ),
    revisions: [
      [2, 3, 3, created, ["otp", "u2f"]],
      [3, 9, 9, reset, undefined],
    ],
  },
  {
    title: "of an older version: each event is one",
    given: streamOf(
      { event: event.organizationAdded(), position: 2 },
      { event: event.policyAdded(), position: 3 },
      { event: event.secondFactorRemoved("otp"), position: 4 },
      { event: event.secondFactorRemoved("u2f"), position: 5 },
    ),
    revisions: [
      [2, 3, 3, created, ["otp", "u2f"]],
      [3, 4, 4, changed, ["u2f"]],
      [4, 5, 5, changed, []],
    ],
  },
  {
    title: "of an older version: a copy and the change of a factor after it are one",
    given: streamOf(
      { event: event.organizationAdded(), position: 2 },
      { event: event.policyCopied(policyOf(), 1), position: 5 },
      { event: event.secondFactorRemoved("otp"), position: 6 },
      { event: event.secondFactorRemoved("u2f"), position: 7 },
    ),
    revisions: [
      [3, 5, 6, copied(1), ["u2f"]],
      [4, 7, 7, changed, []],
    ],
  },
  {
    title: "a copy of this version and an event of an older one are two",
    given: streamOf(added, append(5, [event.policyCopied(policyOf(), 1)]), {
      event: event.secondFactorRemoved("otp"),
      position: 6,
    }),
    revisions: [
      [2, 5, 5, copied(1), ["otp", "u2f"]],
      [3, 6, 6, changed, ["u2f"]],
    ],
  },
  ...(
    [
      ["elsewhere", { event: event.secondFactorRemoved("otp"), position: 7 }, changed, ["u2f"]],
      ["by somebody else", { event: event.secondFactorRemoved("otp"), position: 6, actor: "bob" }, changed, ["u2f"]],
      ["that is no change of a factor", { event: event.policyRemoved(), position: 6 }, reset, undefined],
      ["of this version", { event: event.secondFactorRemoved("otp"), position: 6, append: 6 }, changed, ["u2f"]],
    ] as const
  ).map(
    ([what, after, cause, factors]): Case => ({
      title: `of an older version: a copy and an event ${what} are two`,
      given: streamOf(
        { event: event.organizationAdded(), position: 2 },
        { event: event.policyCopied(policyOf(), 1), position: 5 },
        after,
      ),
      revisions: [
        [2, 5, 5, copied(1), ["otp", "u2f"]],
        [3, after.position, after.position, cause, factors],
      ],
    }),
  ),
];

const rowOf = ({ revision, firstPosition, position, cause, policy }: Revision) => [
  revision,
  firstPosition,
  position,
  cause,
  policy?.secondFactors,
];

describe("revisions of an organization", () => {
  it.each(cases)("$title", ({ given, revisions }) => {
    expect(timelineOf("organization", given).map(rowOf)).toEqual(revisions);
  });

  it.each(cases)("are the same when the events come one by one: $title", ({ given }) => {
    const oneByOne = given.reduce((before, one) => foldEvents("organization", before, [one]), emptyStream);
    expect(oneByOne).toEqual(foldEvents("organization", emptyStream, given));
  });

  it("have the time and the actor of the append, and a policy with its times", () => {
    const given = streamOf(
      added,
      append(5, [event.policyAdded()]),
      append(8, [event.secondFactorRemoved("otp")], { actor: "bob" }),
    );
    const [first, second] = timelineOf("organization", given);
    expect(first).toMatchObject({ actor: "ada", recordedAt: recordedAtOf(5), policy: { sequence: 2 } });
    expect(second).toMatchObject({
      actor: "bob",
      recordedAt: recordedAtOf(8),
      policy: { createdAt: recordedAtOf(5), changedAt: recordedAtOf(8), sequence: 3 },
    });
  });

  it("never change when more events follow", () => {
    const given = streamOf(
      { event: event.organizationAdded(), position: 2 },
      { event: event.policyCopied(policyOf(), 1), position: 3 },
    );
    const before = foldEvents("organization", emptyStream, given);
    const kept = structuredClone(before);
    const more = {
      ...streamOf({ event: event.secondFactorRemoved("otp"), position: 4 })[0],
      sequence: 3,
    } as PolicyOwnerEvent;
    expect(foldEvents("organization", before, [more]).timeline.map(rowOf)).toEqual([[3, 3, 4, copied(1), ["u2f"]]]);
    expect(before).toEqual(kept);
  });
});

const timelines = {
  instance: timelineOf(
    "instance",
    streamOf(
      append(1, [event.instanceCreated()]),
      append(3, [event.secondFactorAdded("otp_sms")]),
      append(7, [event.policyChanged({ forceMfa: true }), event.secondFactorRemoved("otp")]),
    ),
  ),
  organization: timelineOf(
    "organization",
    streamOf(
      added,
      append(4, [
        event.policyCopied(policyOf({ secondFactors: ["otp", "u2f", "otp_sms"] }), 2),
        event.secondFactorRemoved("u2f"),
      ]),
      append(6, [event.policyChanged({ hidePasswordReset: true })]),
      append(9, [event.policyRemoved()]),
      append(10, [event.policyAdded(forced)]),
    ),
  ),
};

describe("a timeline", () => {
  const { organization } = timelines;

  it("finds a revision by its exact number", () => {
    expect([1, 2, 3, 4, 5, 6, 7].map((number) => revisionNumbered(organization, number)?.revision)).toEqual([
      undefined,
      undefined,
      3,
      4,
      5,
      6,
      undefined,
    ]);
  });

  it("finds the newest revision at a position, which has all its events there", () => {
    expect([3, 4, 5, 6, 8, 9, 99].map((position) => revisionAt(organization, position)?.revision)).toEqual([
      undefined,
      undefined,
      3,
      4,
      4,
      5,
      6,
    ]);
  });

  it("finds nothing where there is none", () => {
    expect([revisionNumbered([], 1), revisionAt([], 1)]).toEqual([undefined, undefined]);
  });
});

describe("what applied", () => {
  it.each([
    [0, undefined],
    [1, ["instance", 1]],
    [3, ["instance", 2]],
    [5, ["organization", 3]],
    [8, ["organization", 4]],
    [9, ["instance", 4]],
    [undefined, ["organization", 6]],
  ] as const)("at position %j was %j", (position, wanted) => {
    const applied = appliedAt(timelines, position);
    expect(applied && [applied.owner, applied.revision.revision]).toEqual(wanted);
  });

  it("to the instance is its own", () => {
    expect(appliedAt({ instance: timelines.instance })).toMatchObject({ owner: "instance", revision: { revision: 4 } });
  });
});

describe("changes of a revision", () => {
  it.each([
    ["a copy, to what was inherited", 3, [{ path: "secondFactors", added: [], removed: ["u2f"] }]],
    ["a change", 4, [{ path: "hidePasswordReset", before: false, after: true }]],
    [
      "a reset, to what is inherited now",
      5,
      [
        { path: "forceMfa", before: false, after: true },
        { path: "hidePasswordReset", before: true, after: false },
        { path: "secondFactors", added: ["u2f"], removed: ["otp"] },
      ],
    ],
    ["a creation, to what was inherited", 6, [{ path: "secondFactors", added: ["otp"], removed: ["otp_sms"] }]],
  ])("compare what applied before with what applies after: %s", (_, number, wanted) => {
    const revision = revisionNumbered(timelines.organization, number) as Revision;
    expect(changesOf(timelines, revision)).toEqual(wanted);
  });

  it("of the instance compare its first policy with the built-in one", () => {
    const instance = timelineOf(
      "instance",
      streamOf(append(1, [event.instanceCreated(forced)]), append(2, [event.policyChanged({})])),
    );
    expect(instance.map((revision) => changesOf({ instance }, revision))).toEqual([
      [{ path: "forceMfa", before: false, after: true }],
      [{ path: "forceMfa", before: true, after: false }],
    ]);
  });
});
