// Who may call what, written out: no expectation comes from the source's roles or from the options of the RPCs, so that a
// change of either has to be made here too.
import { getOption } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { file_zitadel_admin } from "../../gen/zitadel/admin_pb.ts";
import { IDPOwnerType } from "../../gen/zitadel/idp_pb.ts";
import { file_zitadel_management } from "../../gen/zitadel/management_pb.ts";
import { auth_option } from "../../gen/zitadel/options_pb.ts";
import { MultiFactorType as Multi, SecondFactorType as Second } from "../../gen/zitadel/policy_pb.ts";
import { roles } from "../../src/domain/directory/roles.ts";
import type { Client } from "../fixtures/clients.ts";
import { sample, sampleNote } from "../fixtures/sample.ts";
import {
  callers,
  instanceRoles,
  type Outcome,
  organizationRoles,
  outcomeText,
  type Permission,
  places,
  type Rights,
  useCallers,
} from "./callers.ts";
import { admin, type Call, call, management } from "./case.ts";

const ok: Outcome = { code: 0, http: 200 };
/** Without an id: refused by a rule on a field of the request. */
const invalid = (id?: string): Outcome => ({ code: Code.InvalidArgument, http: 400, ...(id && { id }) });
const missing = (id: string): Outcome => ({ code: Code.NotFound, http: 404, id });
const exists = (id: string): Outcome => ({ code: Code.AlreadyExists, http: 409, id });
const unmet = (id: string): Outcome => ({ code: Code.FailedPrecondition, http: 400, id });

/** A call, the permission that it asks for, and what comes of it for who has that. */
type Row = readonly [Call, Permission, Outcome];

const idp = { idpId: "none" };
const orgIdp = { ...idp, ownerType: IDPOwnerType.IDP_OWNER_TYPE_ORG };
const noHost = { defaultRedirectUri: "https://" };
const unspecified = { type: Second.UNSPECIFIED };
const unspecifiedMulti = { type: Multi.UNSPECIFIED };
const initial = { type: Second.OTP };
const further = { type: Second.OTP_SMS };
const initialMulti = { type: Multi.U2F_WITH_VERIFICATION };

/**
 * Every RPC, on organizations that inherit from an instance as it was set up, which has the initial factors and no identity
 * provider. No row changes anything, so they may run in any order and all at once: where no valid request ends in a refusal
 * (an organization's Add of a factor copies the policy, a Remove finds the only multi-factor), the factor is the unspecified
 * one, and the refusal that of the validation, which follows the gate.
 */
const rows: readonly Row[] = [
  [call(management.getLoginPolicy), "policy.read", ok],
  [call(management.getDefaultLoginPolicy), "policy.read", ok],
  [call(management.addCustomLoginPolicy, { idps: [orgIdp] }), "policy.write", unmet("Org-FEd32")],
  [call(management.updateCustomLoginPolicy), "policy.write", missing("Org-M0sif")],
  [call(management.resetLoginPolicyToDefault), "policy.delete", missing("Org-GHB37")],
  [call(management.listLoginPolicyIDPs), "policy.read", ok],
  [call(management.addIDPToLoginPolicy, orgIdp), "policy.write", missing("Org-Ffgw2")],
  [call(management.removeIDPFromLoginPolicy, idp), "policy.write", missing("Org-GVDfe")],
  [call(management.listLoginPolicySecondFactors), "policy.read", ok],
  [call(management.addSecondFactorToLoginPolicy, unspecified), "policy.write", invalid()],
  [call(management.removeSecondFactorFromLoginPolicy, further), "policy.write", missing("Org-3M9od")],
  [call(management.listLoginPolicyMultiFactors), "policy.read", ok],
  [call(management.addMultiFactorToLoginPolicy, unspecifiedMulti), "policy.write", invalid()],
  [call(management.removeMultiFactorFromLoginPolicy, unspecifiedMulti), "policy.write", invalid()],

  [call(admin.getLoginPolicy), "iam.policy.read", ok],
  [call(admin.updateLoginPolicy, noHost), "iam.policy.write", invalid("IAM-SFdqd")],
  [call(admin.listLoginPolicyIDPs), "iam.policy.read", ok],
  [call(admin.addIDPToLoginPolicy, idp), "iam.policy.write", unmet("INSTANCE-m8fsd")],
  [call(admin.removeIDPFromLoginPolicy, idp), "iam.policy.write", missing("INSTANCE-39fjs")],
  [call(admin.listLoginPolicySecondFactors), "iam.policy.read", ok],
  [call(admin.addSecondFactorToLoginPolicy, initial), "iam.policy.write", exists("INSTANCE-2B0ps")],
  [call(admin.removeSecondFactorFromLoginPolicy, further), "iam.policy.write", missing("INSTANCE-3M9od")],
  [call(admin.listLoginPolicyMultiFactors), "iam.policy.read", ok],
  [call(admin.addMultiFactorToLoginPolicy, initialMulti), "iam.policy.write", exists("INSTANCE-3M9od")],
  [call(admin.removeMultiFactorFromLoginPolicy, unspecifiedMulti), "iam.policy.write", invalid()],
];

// The answers below cannot tell all of it: every role that may write a policy may delete it too.
describe("the table is that of the source", () => {
  it("for every role", () => {
    const written = [
      ...Object.entries(instanceRoles).map(([role, granted]) => [role, { scope: "instance", permissions: granted }]),
      ...Object.entries(organizationRoles).map(([role, granted]) => [
        role,
        { scope: "organization", permissions: granted },
      ]),
    ];
    expect(roles).toEqual(Object.fromEntries(written));
    expect(written).toHaveLength(26);
  });

  it("for every RPC", () => {
    const services = [...file_zitadel_management.services, ...file_zitadel_admin.services];
    const guarded = services.flatMap(({ methods }) => methods.filter(({ name }) => name !== "Healthz"));
    const asked = guarded.map((method) => [String(method), getOption(method, auth_option).permission]);
    const written = rows.map(([{ method }, permission]) => [String(method), permission]);
    expect(Object.fromEntries(asked)).toEqual(Object.fromEntries(written));
    expect(written).toHaveLength(25);
  });
});

describe("the permissions of", () => {
  const stage = useCallers();

  // The gate is the same for every protocol: each caller goes by one or two of them in each place.
  describe.each(callers.map((caller, at) => [caller.name, caller, at] as const))(
    `%s (${sampleNote})`,
    (_, caller, at) => {
      it.each(places)("organization header: %s", async (place) => {
        const offset = at * places.length + places.indexOf(place);
        const header = { none: undefined, unknown: "404404404404404404", ...stage.organizations }[place];
        const token = stage.tokens.get(caller);
        const headers = {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(header !== undefined && { "x-zitadel-orgid": header }),
        };

        for (const client of sample(stage.clients, { each: 3, offset })) {
          expect(await ask(client, headers)).toEqual(expectedAnswers(client.protocol, caller.rights[place]));
        }
      });
    },
  );
});

/** The answers to all rows, which are sent at once. */
async function ask(client: Client, headers: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const answers = rows.map(async ([{ method, message }]) => {
    const { code, details, httpStatus } = await client.call({ method, message, headers });
    const id = details.find((detail) => detail["@type"] === "type.googleapis.com/zitadel.v1.ErrorDetail")?.["id"];
    return [String(method), outcomeText(code, id, httpStatus)] as const;
  });
  return Object.fromEntries(await Promise.all(answers));
}

/** The same for every protocol, with the HTTP status where a client sees one. */
function expectedAnswers(protocol: string, { granted, refusal }: Rights): Record<string, string> {
  const answers = rows.map(([{ method }, permission, allowed]) => {
    const { code, id, http } = granted.includes(permission) ? allowed : refusal;
    return [String(method), outcomeText(code, id, protocol === "REST" ? http : undefined)];
  });
  return Object.fromEntries(answers);
}
