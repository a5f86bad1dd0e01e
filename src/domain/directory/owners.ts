import type { UserState } from "../states.ts";
import { DirectoryError } from "./decide.ts";

/** Whether a user has the role that may do everything on the instance. */
export const isOwner = ({ removed, roles }: UserState): boolean =>
  !removed && roles.some(({ role }) => role === "IAM_OWNER");

/**
 * Whether a user has anything to sign in with at that moment. What ends later counts until then. A password, secret or key
 * counts also while the built-in issuer is off: a start with `--issuer` makes it a way in again.
 */
function hasWayIn({ tokens, keys = [], password, secret }: UserState, now: number): boolean {
  const isCurrent = ({ expiresAt }: { readonly expiresAt?: number }) => expiresAt === undefined || expiresAt > now;
  return password !== undefined || secret !== undefined || tokens.some(isCurrent) || keys.some(isCurrent);
}

/**
 * Throws a DirectoryError `owner_last` where a change to a user leaves no instance owner who can sign in, and there was one.
 * `others` are all other instance owners.
 */
export function checkOwnerStays(change: {
  readonly before: UserState;
  readonly after: UserState;
  readonly others: readonly UserState[];
  /** Milliseconds since 1970 UTC. */
  readonly now: number;
}): void {
  const { before, after, others, now } = change;
  const canAct = (user: UserState) => isOwner(user) && hasWayIn(user, now);
  if (!canAct(before) || canAct(after) || others.some(canAct)) return;
  throw new DirectoryError(
    "owner_last",
    `${before.name} is the last instance owner (IAM_OWNER) who can sign in, and could not after this: give another user the role and a token first, or repeat this with --force`,
  );
}
