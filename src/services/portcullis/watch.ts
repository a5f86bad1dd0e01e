import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  type WatchLoginPoliciesRequest,
  type WatchLoginPoliciesResponse,
  WatchLoginPoliciesResponseSchema,
} from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import type { Subject } from "../../application/applied-policy.ts";
import type { PolicyHistory } from "../../application/policy-history.ts";
import { snapshotPolicies } from "../../application/policy-snapshot.ts";
import { createPolicyWatch, type Timers } from "../../application/policy-watch.ts";
import { instanceIn } from "../../application/set-up.ts";
import {
  type Cursor,
  createWatchedChanges,
  type WatchedChange,
  type WatchSight,
} from "../../application/watched-changes.ts";
import { type Access, identityKey, rightsOf } from "../../auth/access.ts";
import type { Caller } from "../../auth/caller.ts";
import { checkPermission } from "../../auth/check-permission.ts";
import { AuthError } from "../../auth/errors.ts";
import type { IdentifyAgain } from "../../auth/identify-again.ts";
import { parsePolicyName, revisionNameOf } from "../../auth/resource.ts";
import { instanceRef, type Store } from "../../store/store.ts";
import { fromInstant } from "../values.ts";
import { fromChange } from "./change-convert.ts";
import { fromApplied } from "./convert.ts";
import { invalidField, refusal } from "./errors.ts";
import { readResumeToken, resumeToken } from "./resume-token.ts";
import { actorOf } from "./revisions.ts";

/** How many policies a watch names at most. */
const mostNames = 100;

export interface WatchServiceOptions {
  readonly store: Store;
  readonly history: PolicyHistory;
  readonly identifyAgain: IdentifyAgain;
  /** How many watches one caller has open at most. Default 1,000. */
  readonly watchesPerCaller?: number;
  /** Aborted when the server closes, which ends the watches: a drain would wait for them. */
  readonly closing: AbortSignal;
  /** Default: real ones. */
  readonly timers?: Timers;
}

type Answer = MessageInitShape<typeof WatchLoginPoliciesResponseSchema>;

/** `WatchLoginPolicies`. When the server closes, it ends with UNAVAILABLE, so that clients resume on another node. */
export function createWatch(options: WatchServiceOptions) {
  const { store, history, identifyAgain, watchesPerCaller = 1_000, closing, timers } = options;
  const changes = createWatchedChanges({ store, history });
  const follow = createPolicyWatch({ store, changes, ...(timers && { timers }) });
  /** By caller. */
  const open = new Map<string, number>();
  /** Those who watch the same get the same messages: with the actors of the instance shown, and hidden. */
  const messages = new WeakMap<WatchedChange, Map<boolean, WatchLoginPoliciesResponse>>();

  function changeMessage(change: WatchedChange, place: { instanceId: string; access: Pick<Access, "can"> }) {
    const { instanceId, access } = place;
    const made = messages.get(change) ?? new Map<boolean, WatchLoginPoliciesResponse>();
    messages.set(change, made);
    const isShown = access.can("iam.policy.read");
    const known = made.get(isShown);
    if (known !== undefined) return known;
    const { owner, revision, cursor, mark } = change;
    const message = create(WatchLoginPoliciesResponseSchema, {
      resumeToken: resumeToken({ instanceId, cursor, mark }),
      event: {
        case: "change",
        value: {
          loginPolicy: fromApplied(change.after),
          changes: change.changes.map(fromChange),
          actor: actorOf(access, owner, revision.actor),
          revision: revisionNameOf(owner, revision.revision),
          changeTime: fromInstant(revision.recordedAt),
        },
      },
    });
    made.set(isShown, message);
    return message;
  }

  async function* watch(request: WatchLoginPoliciesRequest, context: HandlerContext): AsyncGenerator<Answer> {
    const token = identityOf(context).token;
    const subjects = readNames(request.names);
    let access: Pick<Access, "can" | "organizations"> = rightsOf(identityOf(context).caller);

    /** Checks again what a call would be checked for. */
    async function permit({ position, missing }: WatchSight): Promise<(subject: Subject) => boolean> {
      const caller = await identifyAgain(token, position);
      access = rightsOf(caller);
      if (subjects !== undefined) {
        for (const subject of subjects) checkSubject(caller, subject, missing);
        return () => true;
      }
      const readable = access.organizations("policy.read");
      if (readable.length === 0) throw new AuthError("permission_missing");
      // A token may name any position, so this must not show what the caller could not read.
      const readsInstance = access.can("iam.policy.read");
      return ({ type, id }) => (type === "instance" ? readsInstance : readable === "all" || readable.includes(id));
    }

    const view = await store.read([instanceRef, ...(subjects ?? [])]);
    const missing = new Set<string>();
    for (const subject of subjects ?? []) {
      if (subject.type === "organization" && view.get(subject).state?.removed !== false) missing.add(subject.id);
    }
    await permit({ position: view.position, missing });
    const { instanceId } = instanceIn(view);
    const tokenOf = async (cursor: Cursor) =>
      resumeToken({ instanceId, cursor, mark: await changes.markAt(cursor.position) });

    let after: Cursor = { position: view.position };
    if (request.resumeToken !== "") {
      after = await readResumeToken(request.resumeToken, { instanceId, markAt: changes.markAt });
    } else if (request.withSnapshot) {
      const wanted = {
        instance:
          subjects === undefined ? access.can("iam.policy.read") : subjects.some(({ type }) => type === "instance"),
        organizations:
          subjects?.filter(({ type }) => type === "organization").map(({ id }) => id) ??
          access.organizations("policy.read"),
      };
      const resume = await tokenOf(after);
      for await (const { page, isLast } of withLast(snapshotPolicies(wanted, { store, changes, view }))) {
        if (closing.aborted || context.signal.aborted) break;
        const maySee = await permit({ position: view.position, missing });
        const loginPolicies = page.filter(({ subject }) => maySee(subject)).map(fromApplied);
        // A client that has only a part begins anew.
        const value = { loginPolicies, done: isLast };
        yield { resumeToken: isLast ? resume : "", event: { case: "snapshot", value } };
      }
    }
    const isFirst = request.resumeToken !== "" || !request.withSnapshot;
    const scope = subjects ?? "everything";
    const until = [context.signal, closing];
    for await (const item of follow({ scope, after, startsWithCheckpoint: isFirst, until, permit })) {
      if (item.kind === "checkpoint") {
        yield { resumeToken: await tokenOf(item.cursor), event: { case: "checkpoint", value: {} } };
      } else {
        yield changeMessage(item, { instanceId, access });
      }
    }
    if (closing.aborted) throw new ConnectError("the server is shutting down: resume on another", Code.Unavailable);
  }

  return async function* watchLoginPolicies(
    request: WatchLoginPoliciesRequest,
    context: HandlerContext,
  ): AsyncGenerator<Answer> {
    const { userId } = identityOf(context).caller;
    const held = open.get(userId) ?? 0;
    if (held >= watchesPerCaller) throw tooManyWatches(watchesPerCaller);
    open.set(userId, held + 1);
    try {
      yield* watch(request, context);
    } finally {
      const left = (open.get(userId) ?? 1) - 1;
      if (left === 0) open.delete(userId);
      else open.set(userId, left);
    }
  };
}

function identityOf(context: HandlerContext) {
  const identity = context.values.get(identityKey);
  if (identity === undefined) throw new Error("a watch came here without its caller");
  return identity;
}

function checkSubject(caller: Caller, subject: Subject, missing: ReadonlySet<string>): void {
  if (subject.type === "instance") {
    if (!rightsOf(caller).can("iam.policy.read")) throw new AuthError("permission_missing");
    return;
  }
  const { id: organizationId } = subject;
  checkPermission(caller, { organizationId, exists: !missing.has(organizationId), permission: "policy.read" });
}

/** The policies that a watch names, each once; undefined: none. Throws invalid_argument. */
function readNames(names: readonly string[]): readonly Subject[] | undefined {
  if (names.length === 0) return undefined;
  if (names.length > mostNames) throw invalidField("names", `name ${mostNames} policies at most, or none to watch all`);
  const subjects = new Map<string, Subject>();
  for (const [index, name] of names.entries()) {
    const parsed = parsePolicyName(name);
    if (parsed === undefined || parsed.revision !== undefined) {
      throw invalidField(`names[${index}]`, "send instance/loginPolicy or organizations/{organization}/loginPolicy");
    }
    subjects.set(name, parsed.resource);
  }
  return [...subjects.values()];
}

/** Says of each item whether it is the last. */
async function* withLast<T>(items: AsyncIterable<T>): AsyncGenerator<{ readonly page: T; readonly isLast: boolean }> {
  let held: { readonly page: T } | undefined;
  for await (const page of items) {
    if (held !== undefined) yield { ...held, isLast: false };
    held = { page };
  }
  if (held !== undefined) yield { ...held, isLast: true };
}

const tooManyWatches = (most: number): ConnectError =>
  refusal({
    code: Code.ResourceExhausted,
    reason: "TOO_MANY_WATCHES",
    text: `you have ${most} watches open on this server, which is the most: end one of them`,
  });
