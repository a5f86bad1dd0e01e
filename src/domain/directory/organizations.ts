import type { OrganizationEvent } from "../events.ts";
import type { OrganizationState } from "../states.ts";
import { DirectoryError } from "./errors.ts";
import { checkName } from "./names.ts";

export function addOrganization(wanted: {
  readonly id: string;
  readonly name: string;
  /** The organization that has the id, even a removed one: ids are never reused. */
  readonly sameId: OrganizationState | undefined;
  readonly nameTaken: boolean;
}): OrganizationEvent[] {
  checkName(wanted.name);
  if (!/^[0-9A-Za-z_-]{1,200}$/.test(wanted.id)) {
    throw new DirectoryError("id_invalid", "an organization id has 1 to 200 letters, digits, hyphens or underscores");
  }
  if (wanted.sameId !== undefined) {
    throw new DirectoryError("id_taken", `the organization id ${wanted.id} is or was in use: choose another one`);
  }
  if (wanted.nameTaken)
    throw new DirectoryError("name_taken", `there is an organization named ${wanted.name}: choose another name`);
  return [{ type: "OrganizationAdded", version: 1, payload: { name: wanted.name } }];
}

export function removeOrganization(
  organization: OrganizationState | undefined,
  { id, isDefault }: { readonly id: string; readonly isDefault: boolean },
): OrganizationEvent[] {
  checkOrganization(organization, id);
  if (isDefault) {
    throw new DirectoryError("organization_is_default", `the default organization ${id} cannot be removed`);
  }
  return [{ type: "OrganizationRemoved", version: 1, payload: {} }];
}

/** Throws a DirectoryError `organization_missing` for an organization that does not exist or was removed. */
export function checkOrganization(organization: OrganizationState | undefined, id: string): void {
  if (organization === undefined || organization.removed) {
    throw new DirectoryError("organization_missing", `there is no organization ${id}: org list shows all ids`);
  }
}
