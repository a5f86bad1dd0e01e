import type { RoleGrant } from "../domain/events.ts";
import type { AggregateRef, View } from "../store/store.ts";

/** The user of a token, with their roles. */
export interface Caller {
  /** The id of a user of this instance, or `ISSUER#SUBJECT` for a user of an outside issuer. */
  readonly userId: string;
  /** The home organization. A call without an organization header is about it. */
  readonly organizationId: string;
  readonly roles: readonly RoleGrant[];
}

export interface Identified {
  readonly caller: Caller;
  /** Contains the organization of the call, if it was named; absent if that was not read. */
  readonly seen?: View | undefined;
}

/**
 * Identifies the caller of a bearer token. `organizationOf` maps the caller's home organization to the organization of the
 * call, so that one view can contain both; absent, no organization is read. Rejects with an AuthError for an invalid token.
 */
export type Identify = (
  token: string,
  organizationOf?: (home: string) => AggregateRef<"organization">,
) => Promise<Identified>;
