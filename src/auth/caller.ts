import type { RoleGrant } from "../domain/events.ts";
import type { AggregateRef, View } from "../store/store.ts";

/** Who a token speaks for, and what they may do. */
export interface Caller {
  /** The id of a user of this instance, or `ISSUER#SUBJECT` for one whom an outside issuer vouches for. */
  readonly userId: string;
  /** The home organization: the one a call is about when it names none. */
  readonly organizationId: string;
  readonly roles: readonly RoleGrant[];
}

/** Who a token speaks for, and what was read along with them. */
export interface Identified {
  readonly caller: Caller;
  /** Holds the organization that the call is about; absent where that was not read. */
  readonly seen?: View;
}

/**
 * Says who a bearer token speaks for. `organizationOf` names the organization that a call of theirs is about, by the id of
 * their home: it is read in the same view, where there is one. Rejects with an AuthError where the token speaks for nobody.
 */
export type Identify = (
  token: string,
  organizationOf: (home: string) => AggregateRef<"organization">,
) => Promise<Identified>;
