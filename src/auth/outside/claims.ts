import { isRole, type Role, roles } from "../../domain/directory/roles.ts";
import type { RoleGrant } from "../../domain/events.ts";
import { homeOrganizationClaim } from "../../wire-names.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** Claims of a token. Only own properties are claims, of any type. */
export type Claims = Readonly<Record<string, unknown>>;

/** A user of an outside issuer. */
export interface OutsideCaller {
  /** `ISSUER#SUBJECT`. */
  readonly userId: string;
  /** The home organization, if the claims contain it. */
  readonly organizationId?: string;
  readonly roles: readonly RoleGrant[];
  /** Roles on organizations without a named organization: they apply to the home organization. */
  readonly homeRoles: readonly Role[];
}

type RoleSettings = Pick<OutsideIssuerSettings, "url" | "roleClaim" | "instanceRoles">;

const maxSubjectLength = 255;
const maxOrganizationIdLength = 200;
/** Bounds the cost of a hostile claim; no user has as many. */
const maxGrants = 1000;

/**
 * Reads the caller from checked claims; undefined for an invalid subject. Roles come in ZITADEL's shape, an object of role to
 * organizations, or as a list or space-separated string of role names. Unknown and malformed roles are ignored.
 */
export function readCaller(claims: Claims, settings: RoleSettings): OutsideCaller | undefined {
  const subject = ownValue(claims, "sub");
  if (!isIdText(subject, maxSubjectLength)) return undefined;

  const held = readRoles(findClaim(claims, settings.roleClaim), settings.instanceRoles);
  const named = ownValue(claims, homeOrganizationClaim);
  const organizationId = isIdText(named, maxOrganizationIdLength) ? named : onlyOrganization(held.roles);
  return { userId: `${settings.url}#${subject}`, ...(organizationId !== undefined && { organizationId }), ...held };
}

type HeldRoles = Pick<OutsideCaller, "roles" | "homeRoles">;

function readRoles(claim: unknown, instanceRoles: boolean): HeldRoles {
  if (typeof claim === "string") return readList(claim.split(" "), instanceRoles);
  if (Array.isArray(claim)) return readList(claim, instanceRoles);
  return isObject(claim) ? readObject(claim, instanceRoles) : { roles: [], homeRoles: [] };
}

function readList(names: readonly unknown[], instanceRoles: boolean): HeldRoles {
  const known = [...new Set(names)].filter((name) => typeof name === "string").filter(isRole);
  const onInstance = known.filter((role) => roles[role].scope === "instance");
  return {
    roles: instanceRoles ? onInstance.map((role) => ({ role })) : [],
    homeRoles: known.filter((role) => roles[role].scope === "organization"),
  };
}

function readObject(claim: Claims, instanceRoles: boolean): HeldRoles {
  const granted: RoleGrant[] = [];
  for (const [role, organizations] of Object.entries(claim)) {
    if (!isRole(role) || !isObject(organizations)) continue;
    if (roles[role].scope === "instance") {
      // The organization in ZITADEL's claim is the owner of the project, which says nothing about an instance.
      if (instanceRoles) granted.push({ role });
      continue;
    }
    for (const [organizationId, domain] of Object.entries(organizations)) {
      if (typeof domain !== "string" || !isIdText(organizationId, maxOrganizationIdLength)) continue;
      granted.push({ role, organizationId });
    }
  }
  return { roles: granted.slice(0, maxGrants), homeRoles: [] };
}

function onlyOrganization(granted: readonly RoleGrant[]): string | undefined {
  const named = new Set(granted.flatMap(({ organizationId }) => organizationId ?? []));
  return named.size === 1 ? [...named][0] : undefined;
}

/** The claim with this name, or at this path, such as Keycloak's `realm_access.roles`. */
function findClaim(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name) || !name.includes(".")) return ownValue(claims, name);
  return name
    .split(".")
    .reduce<unknown>((inner, step) => (isObject(inner) ? ownValue(inner, step) : undefined), claims);
}

const ownValue = (claims: Claims, name: string): unknown => (Object.hasOwn(claims, name) ? claims[name] : undefined);

const isObject = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value can be an id. Databases cut or refuse texts with control characters or halves of surrogate pairs. */
const isIdText = (value: unknown, maxLength: number): value is string =>
  typeof value === "string" &&
  value !== "" &&
  value.length <= maxLength &&
  value.isWellFormed() &&
  !/\p{Cc}/u.test(value);
