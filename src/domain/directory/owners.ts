import type { UserState } from "../states.ts";
import { DirectoryError } from "./errors.ts";

/** Whether a user has the role IAM_OWNER, which holds every permission. */
export const isOwner = ({ removed, roles }: UserState): boolean =>
  !removed && roles.some(({ role }) => role === "IAM_OWNER");

/**
 * Whether a user has a credential that has not expired. A password, secret or key counts even while the built-in issuer is
 * off, because a restart with `--issuer` makes it usable again.
 */
function hasCredential({ tokens, keys = [], password, secret }: UserState, now: number): boolean {
  const isCurrent = ({ expiresAt }: { readonly expiresAt?: number }) => expiresAt === undefined || expiresAt > now;
  return password !== undefined || secret !== undefined || tokens.some(isCurrent) || keys.some(isCurrent);
}

/**
 * Throws a DirectoryError `owner_last` if a change to a user takes away the last instance owner who can sign in. `others`
 * are all other instance owners.
 */
export function checkOwnerStays(change: {
  readonly before: UserState;
  readonly after: UserState;
  readonly others: readonly UserState[];
  /** Milliseconds since 1970 UTC. */
  readonly now: number;
}): void {
  const { before, after, others, now } = change;
  const canAct = (user: UserState) => isOwner(user) && hasCredential(user, now);
  if (!canAct(before) || canAct(after) || others.some(canAct)) return;
  throw new DirectoryError(
    "owner_last",
    `${before.name} is the last instance owner (IAM_OWNER) who can sign in: give another user the role and a token first, or repeat this with --force`,
  );
}
