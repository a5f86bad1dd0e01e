import { ConfigError } from "../../config.ts";
import type { Policies } from "./connection.ts";
import type { PolicyOptions } from "./options.ts";

const isId = /^[0-9A-Za-z_-]{1,200}$/;

/** The name of the policy that the options name: an organization by its id, else by its name. Throws a ConfigError for one that is unknown. */
export async function policyNameOf(policies: Policies, { org }: PolicyOptions): Promise<string> {
  if (org === undefined) return "instance/loginPolicy";
  // The names of two organizations differ, so at most one page has it; it begins with itself.
  const filter = `organization_display_name : ${JSON.stringify(`${org}*`)}`;
  const found = org.includes("*") ? [] : await firstPage(policies, filter);
  const named = found.find(({ organizationDisplayName }) => organizationDisplayName === org);
  if (named !== undefined) return named.name;
  if (isId.test(org)) return `organizations/${org}/loginPolicy`;
  throw new ConfigError(`there is no organization with the name ${org} that this token may read`);
}

async function firstPage(policies: Policies, filter: string) {
  const { loginPolicies } = await policies.listLoginPolicies({ parent: "organizations/-", pageSize: 1, filter });
  return loginPolicies;
}
