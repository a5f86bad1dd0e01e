// The rules in the proto files with ZITADEL's texts, seen by a client: in memory, but through messages in their binary form.
import type { DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type Transport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { AdminService } from "../../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { validateRequest } from "../../../src/interceptors/validation.ts";

type Init = Record<string, unknown>;

const services: readonly DescService[] = [ManagementService, AdminService];
const methodNames = services.flatMap((service) =>
  service.methods.map((method) => `${service === AdminService ? "admin" : "management"} ${method.name}`),
);

/** A server whose implementations accept everything, so that only the interceptor can refuse. */
function openTransport(): { readonly transport: Transport; readonly reached: string[] } {
  const reached: string[] = [];
  const transport = createRouterTransport(
    (router) => {
      for (const service of services) {
        for (const method of service.methods) {
          router.rpc(method as DescMethodUnary, () => {
            reached.push(method.name);
            return {};
          });
        }
      }
    },
    { router: { interceptors: [validateRequest] } },
  );
  return { transport, reached };
}

async function call(name: string, input: Init) {
  const { transport, reached } = openTransport();
  const method = services.flatMap(({ methods }) => methods)[methodNames.indexOf(name)];
  if (method === undefined) throw new Error(`there is no RPC ${name}`);
  const error = await transport
    .unary(method as DescMethodUnary, undefined, undefined, undefined, input as Partial<Message>)
    .then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
  return { error, reached };
}

const secondFactorRpcs = ["AddSecondFactorToLoginPolicy", "RemoveSecondFactorFromLoginPolicy"];
const multiFactorRpcs = ["AddMultiFactorToLoginPolicy", "RemoveMultiFactorFromLoginPolicy"];
const both = (names: readonly string[]) =>
  ["management", "admin"].flatMap((scope) => names.map((n) => `${scope} ${n}`));
const settingsRpcs = [
  "management AddCustomLoginPolicy",
  "management UpdateCustomLoginPolicy",
  "admin UpdateLoginPolicy",
];
const idpRpcs = both(["AddIDPToLoginPolicy", "RemoveIDPFromLoginPolicy"]);
const lifetimes = [
  ["passwordCheckLifetime", "password_check_lifetime"],
  ["externalLoginCheckLifetime", "external_login_check_lifetime"],
  ["mfaInitSkipLifetime", "mfa_init_skip_lifetime"],
  ["secondFactorCheckLifetime", "second_factor_check_lifetime"],
  ["multiFactorCheckLifetime", "multi_factor_check_lifetime"],
] as const;

const defined = "value must be one of the defined enum values";
const length = "value length must be between 1 and 200 runes, inclusive";
const duration = "value must be a duration of at most 10,000 years, its seconds and nanos of one sign";
const requestOf = (rpc: string) => `${rpc.split(" ")[1]}Request`;
const key = "🔑";

interface Refused {
  readonly rpc: string;
  readonly input: Init;
  readonly field: string;
  readonly text: string;
}

const idp = (wanted: Init = {}) => ({ idpId: "1", ownerType: 1, ...wanted });

const refused: readonly Refused[] = [
  ...both(secondFactorRpcs).flatMap((rpc): Refused[] => [
    {
      rpc,
      input: {},
      field: "type",
      text: `invalid ${requestOf(rpc)}.Type: value must not be in list [SECOND_FACTOR_TYPE_UNSPECIFIED]`,
    },
    ...[6, -1, 2_147_483_647].map((type) => ({
      rpc,
      input: { type },
      field: "type",
      text: `invalid ${requestOf(rpc)}.Type: ${defined}`,
    })),
  ]),
  ...both(multiFactorRpcs).flatMap((rpc): Refused[] => [
    {
      rpc,
      input: { type: 0 },
      field: "type",
      text: `invalid ${requestOf(rpc)}.Type: value must not be in list [MULTI_FACTOR_TYPE_UNSPECIFIED]`,
    },
    { rpc, input: { type: 2 }, field: "type", text: `invalid ${requestOf(rpc)}.Type: ${defined}` },
  ]),
  ...idpRpcs.flatMap((rpc) =>
    ["", "a".repeat(201), key.repeat(201)].map((idpId) => ({
      rpc,
      input: idp({ idpId }),
      field: "idp_id",
      text: `invalid ${requestOf(rpc)}.IdpId: ${length}`,
    })),
  ),
  {
    rpc: "management AddIDPToLoginPolicy",
    input: idp({ ownerType: 0 }),
    field: "ownerType",
    text: "invalid AddIDPToLoginPolicyRequest.OwnerType: value must not be in list [IDP_OWNER_TYPE_UNSPECIFIED]",
  },
  {
    rpc: "management AddIDPToLoginPolicy",
    input: idp({ ownerType: 3 }),
    field: "ownerType",
    text: `invalid AddIDPToLoginPolicyRequest.OwnerType: ${defined}`,
  },
  {
    rpc: "management AddIDPToLoginPolicy",
    input: {},
    field: "idp_id",
    text: `invalid AddIDPToLoginPolicyRequest.IdpId: ${length}`,
  },
  ...settingsRpcs.flatMap((rpc) =>
    [2, -1].map((passwordlessType) => ({
      rpc,
      input: { passwordlessType },
      field: "passwordless_type",
      text: `invalid ${requestOf(rpc)}.PasswordlessType: ${defined}`,
    })),
  ),
  ...settingsRpcs.flatMap((rpc) =>
    lifetimes.flatMap(([name, field]) =>
      [
        { seconds: 315_576_000_001n },
        { seconds: -315_576_000_001n },
        { seconds: 9_223_372_036_854_775_807n },
        { nanos: 1_000_000_000 },
        { nanos: -1_000_000_000 },
        { seconds: 1n, nanos: -1 },
        { seconds: -1n, nanos: 1 },
      ].map((value) => ({
        rpc,
        input: { [name]: value },
        field,
        text: `invalid ${requestOf(rpc)}.${name.charAt(0).toUpperCase()}${name.slice(1)}: ${duration}`,
      })),
    ),
  ),
  ...(
    [
      [{ idpId: "" }, "idp_id", `IdpId: ${length}`],
      [{ idpId: "a".repeat(201) }, "idp_id", `IdpId: ${length}`],
      [{ ownerType: 0 }, "ownerType", "OwnerType: value must not be in list [IDP_OWNER_TYPE_UNSPECIFIED]"],
      [{ ownerType: 9 }, "ownerType", `OwnerType: ${defined}`],
    ] as const
  ).map(([wrong, field, text]) => ({
    rpc: "management AddCustomLoginPolicy",
    input: { idps: [idp(), idp(wrong)] },
    field: `idps[1].${field}`,
    text:
      "invalid AddCustomLoginPolicyRequest.Idps[1]: embedded message failed validation | caused by: " +
      `invalid AddCustomLoginPolicyRequest_IDP.${text}`,
  })),
  {
    rpc: "management AddCustomLoginPolicy",
    input: { passwordlessType: 7, passwordCheckLifetime: { nanos: -1_000_000_000 }, idps: [{}] },
    field: "passwordless_type",
    text: `invalid AddCustomLoginPolicyRequest.PasswordlessType: ${defined}`,
  },
];

const accepted: readonly { readonly rpc: string; readonly input: Init }[] = [
  ...both(secondFactorRpcs).flatMap((rpc) => [1, 2, 3, 4, 5].map((type) => ({ rpc, input: { type } }))),
  ...both(multiFactorRpcs).map((rpc) => ({ rpc, input: { type: 1 } })),
  ...idpRpcs.flatMap((rpc) => ["1", "a".repeat(200), key.repeat(200)].map((idpId) => ({ rpc, input: idp({ idpId }) }))),
  { rpc: "management AddIDPToLoginPolicy", input: idp({ ownerType: 2 }) },
  ...settingsRpcs.flatMap((rpc) => [
    { rpc, input: {} },
    { rpc, input: { passwordlessType: 1 } },
    ...lifetimes.flatMap(([name]) =>
      [
        {},
        { seconds: 315_576_000_000n, nanos: 999_999_999 },
        { seconds: -315_576_000_000n, nanos: -999_999_999 },
        { seconds: -5n },
        { nanos: -5 },
      ].map((value) => ({ rpc, input: { [name]: value } })),
    ),
  ]),
  // No rule on the lists: bad values reach the command, which has errors of its own for them.
  { rpc: "management AddCustomLoginPolicy", input: { secondFactors: [0, 99], multiFactors: [0, 99] } },
  { rpc: "management AddCustomLoginPolicy", input: { idps: [idp(), idp({ ownerType: 2, idpId: key.repeat(200) })] } },
  // Messages without rules.
  { rpc: "management Healthz", input: {} },
  { rpc: "admin Healthz", input: {} },
  { rpc: "management GetLoginPolicy", input: {} },
  { rpc: "management GetDefaultLoginPolicy", input: {} },
  { rpc: "management ResetLoginPolicyToDefault", input: {} },
  { rpc: "management ListLoginPolicyIDPs", input: { query: { offset: 18_446_744_073_709_551_615n } } },
  { rpc: "management ListLoginPolicySecondFactors", input: {} },
  { rpc: "management ListLoginPolicyMultiFactors", input: {} },
  { rpc: "admin GetLoginPolicy", input: {} },
  { rpc: "admin ListLoginPolicyIDPs", input: {} },
  { rpc: "admin ListLoginPolicySecondFactors", input: {} },
  { rpc: "admin ListLoginPolicyMultiFactors", input: {} },
];

const titled = <C extends { rpc: string; input: Init }>(cases: readonly C[]) =>
  cases.map((one) => ({
    ...one,
    title: `${one.rpc} ${JSON.stringify(one.input, (_, v) => (typeof v === "bigint" ? `${v}` : v)).slice(0, 60)}`,
  }));

describe("validateRequest", () => {
  it.each(titled(refused))("refuses $title", async ({ rpc, input, field, text }) => {
    const { error, reached } = await call(rpc, input);
    expect(error).toMatchObject({ code: Code.InvalidArgument, rawMessage: text });
    expect(error?.details).toHaveLength(1);
    const violations = error?.findDetails(BadRequestSchema)[0]?.fieldViolations;
    expect(violations).toHaveLength(1);
    expect(violations?.[0]?.field).toBe(field);
    // The innermost reason, which is what the text ends with; for an enum, its names as well.
    const [reason = "", wanted] = (violations?.[0]?.description ?? "").split(": send ");
    expect(text.endsWith(`: ${reason}`)).toBe(true);
    expect(wanted?.match(/^\w+( or \w+)*$/) != null).toBe(/enum values$|in list/.test(reason));
    expect(reached).toEqual([]);
  });

  it.each(titled(accepted))("accepts $title", async ({ rpc, input }) => {
    const { error, reached } = await call(rpc, input);
    expect(error).toBeUndefined();
    expect(reached).toEqual([rpc.split(" ")[1]]);
  });

  it("tells the reason alone in the detail of a nested field", async () => {
    const { error } = await call("management AddCustomLoginPolicy", { idps: [idp({ idpId: "" })] });
    expect(error?.findDetails(BadRequestSchema)[0]?.fieldViolations[0]).toMatchObject({
      field: "idps[0].idp_id",
      description: length,
    });
  });

  it.each([0, 99])("names what an enum may be where it is %i", async (type) => {
    const { error } = await call("management AddMultiFactorToLoginPolicy", { type });
    const { description } = error?.findDetails(BadRequestSchema)[0]?.fieldViolations[0] ?? {};
    expect(description).toMatch(/: send MULTI_FACTOR_TYPE_U2F_WITH_VERIFICATION$/);
  });

  it("has a case for every RPC", () => {
    expect(new Set([...refused, ...accepted].map(({ rpc }) => rpc))).toEqual(new Set(methodNames));
    expect(methodNames).toHaveLength(27);
  });
});
