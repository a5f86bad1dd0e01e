import type { RoleGrant } from "../policy/events.ts";

/** Who a token speaks for, and what they may do. */
export interface Caller {
  /** The id of a user of this instance, or `ISSUER#SUBJECT` for one whom an outside issuer vouches for. */
  readonly userId: string;
  /** The home organization: the one a call is about when it names none. */
  readonly organizationId: string;
  readonly roles: readonly RoleGrant[];
}
