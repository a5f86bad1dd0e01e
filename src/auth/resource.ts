import { type AggregateRef, instanceRef, organizationRef } from "../store/store.ts";

/** What a request of portcullis.v1 names: the instance, or an organization, which perhaps does not exist. */
export type Resource = AggregateRef<"instance"> | AggregateRef<"organization">;

export interface PolicyName {
  readonly resource: Resource;
  /** Absent: the policy as it is. */
  readonly revision?: number;
}

const pattern =
  /^(?:instance|organizations\/(?<id>[0-9A-Za-z_-]{1,200}))\/loginPolicy(?:\/revisions\/(?<revision>[1-9]\d{0,14}))?$/;

/** Reads the name of a login policy or of one of its revisions; undefined for any other text. */
export function parsePolicyName(name: string): PolicyName | undefined {
  const found = pattern.exec(name);
  if (found === null) return undefined;
  const { id, revision } = found.groups ?? {};
  const resource = id === undefined ? instanceRef : organizationRef(id);
  return { resource, ...(revision !== undefined && { revision: Number(revision) }) };
}

export const policyNameOf = ({ type, id }: Resource): string =>
  type === "instance" ? "instance/loginPolicy" : `organizations/${id}/loginPolicy`;

export const revisionNameOf = (owner: Resource, revision: number): string =>
  `${policyNameOf(owner)}/revisions/${revision}`;
