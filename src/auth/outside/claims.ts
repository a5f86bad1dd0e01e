import { isRole, type Role, roles } from "../../domain/directory/roles.ts";
import type { RoleGrant } from "../../domain/events.ts";
import { homeOrganizationClaim } from "../../wire-names.ts";
import type { OutsideIssuerSettings } from "./settings.ts";

/** Claims as they came: only own properties are claims, and none has a type that can be relied on. */
export type Claims = Readonly<Record<string, unknown>>;

/** Whom an outside issuer vouches for. */
export interface OutsideCaller {
  /** `ISSUER#SUBJECT`. */
  readonly userId: string;
  /** The home organization, where the claims tell it. */
  readonly organizationId?: string;
  readonly roles: readonly RoleGrant[];
  /** Roles on organizations that were given without naming one: they count on the home organization, whichever that is. */
  readonly homeRoles: readonly Role[];
}

type RoleSettings = Pick<OutsideIssuerSettings, "url" | "roleClaim" | "instanceRoles">;

const maxSubjectLength = 255;
const maxOrganizationIdLength = 200;
/** More than any person holds; a hostile claim must not cost more than this. */
const maxGrants = 1000;

/**
 * Reads the caller from checked claims; undefined where their subject is none. Roles come in ZITADEL's shape, an object of
 * role to organizations, or as a list or space-separated string of role names. What is unknown or malformed gives no role.
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
      // ZITADEL names the organization that gave the project to the user, which says nothing about an instance.
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

/** The claim of this name, else what a path of these names leads to, such as Keycloak's `realm_access.roles`. */
function findClaim(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name) || !name.includes(".")) return ownValue(claims, name);
  return name
    .split(".")
    .reduce<unknown>((inner, step) => (isObject(inner) ? ownValue(inner, step) : undefined), claims);
}

const ownValue = (claims: Claims, name: string): unknown => (Object.hasOwn(claims, name) ? claims[name] : undefined);

const isObject = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value can be an id. Databases cut or refuse a text with control characters or half of a surrogate pair. */
const isIdText = (value: unknown, maxLength: number): value is string =>
  typeof value === "string" &&
  value !== "" &&
  value.length <= maxLength &&
  value.isWellFormed() &&
  !/\p{Cc}/u.test(value);
