import { type DescEnum, type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import {
  type LoginPolicy,
  LoginPolicyRevision_CauseSchema,
  LoginPolicySchema,
  type PolicyChange,
  PolicyChangeSchema,
  SettingExplanation_LevelSchema,
} from "../../../gen/portcullis/v1/login_policy_pb.ts";
import {
  ExplainLoginPolicyResponseSchema,
  ListLoginPolicyRevisionsResponseSchema,
} from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { MultiFactorTypeSchema, SecondFactorTypeSchema } from "../../../gen/zitadel/policy_pb.ts";
import { formatInstant, formatTable, print } from "../output.ts";
import { type Policies, withPolicies } from "./connection.ts";
import type { PolicyOptions } from "./options.ts";
import { policyNameOf } from "./subject.ts";
import { formatPolicy, formatValue, readAssignments } from "./values.ts";

// What the commands do. Loaded by the one that runs, since a client of the API takes long to load.

export const show = (options: PolicyOptions) =>
  withNamed(options, async (policies, name) => printPolicy(options, await policies.getLoginPolicy({ name })));

export function set(assignments: readonly string[], options: PolicyOptions & { readonly preview?: boolean }) {
  const { policy, mask } = readAssignments(assignments);
  return withNamed(options, async (policies, name) => {
    const update = { loginPolicy: { ...policy, name }, updateMask: mask };
    if (!options.preview) return printPolicy(options, await policies.updateLoginPolicy(update));
    const { changes, warnings } = await policies.previewLoginPolicy({
      name,
      change: { case: "update", value: update },
    });
    const sentences = warnings.map(({ message }) => message);
    const lines = [...changes.map(formatChange), ...sentences.map((sentence) => `warning: ${sentence}`)];
    const json = { changes: changes.map((change) => toJsonOf(PolicyChangeSchema, change)), warnings: sentences };
    print(options, { json, text: lines.join("\n") || "nothing would change" });
  });
}

export const reset = (options: PolicyOptions) =>
  withNamed(options, async (policies, name) => printPolicy(options, await policies.resetLoginPolicy({ name })));

export const rollback = (revision: string, options: PolicyOptions) =>
  withNamed(options, async (policies, name) =>
    printPolicy(options, await policies.rollbackLoginPolicy({ name: `${name}/revisions/${revision}` })),
  );

export const explain = (options: PolicyOptions) =>
  withNamed(options, async (policies, name) => {
    const answer = await policies.explainLoginPolicy({ name });
    const settings = answer.settings.map((one) => ({ ...one, value: formatJson(one.value), what: one.path }));
    const factors = answer.factors.map((one) => {
      const desc = one.factor.case === "multiFactor" ? MultiFactorTypeSchema : SecondFactorTypeSchema;
      return { ...one, value: one.allowed ? "allowed" : "not allowed", what: nameIn(desc, one.factor.value ?? 0) };
    });
    const text = formatTable([...settings, ...factors], {
      SETTING: ({ what }) => what,
      VALUE: ({ value }) => value,
      "SET ON": ({ level }) => wordsOf(SettingExplanation_LevelSchema, level),
      WHEN: ({ setTime }) => formatTime(setTime),
      BY: ({ actor }) => actor,
    });
    print(options, { json: toJsonOf(ExplainLoginPolicyResponseSchema, answer), text });
  });

export const history = (options: PolicyOptions & { readonly limit: number }) =>
  withNamed(options, async (policies, parent) => {
    const answer = await policies.listLoginPolicyRevisions({ parent, pageSize: options.limit });
    const text = formatTable(answer.loginPolicyRevisions, {
      REVISION: ({ name }) => name.replace(/^.*\//, ""),
      WHEN: ({ createTime }) => formatTime(createTime),
      BY: ({ actor }) => actor,
      CAUSE: ({ cause }) => wordsOf(LoginPolicyRevision_CauseSchema, cause),
      CHANGES: ({ changes }) => changes.map(formatChange).join("; "),
    });
    print(options, { json: toJsonOf(ListLoginPolicyRevisionsResponseSchema, answer), text });
  });

const withNamed = (
  options: PolicyOptions,
  use: (policies: Policies, name: string) => Promise<void> | void,
): Promise<void> => withPolicies(options, async (policies) => use(policies, await policyNameOf(policies, options)));

const printPolicy = (options: PolicyOptions, policy: LoginPolicy): void =>
  print(options, { json: toJsonOf(LoginPolicySchema, policy), text: formatPolicy(policy) });

const toJsonOf = <Desc extends DescMessage>(desc: Desc, message: MessageShape<Desc>) =>
  toJson(desc, message, { alwaysEmitImplicit: true });

const nameIn = (desc: DescEnum, number: number): string => desc.value[number]?.name ?? String(number);
const wordsOf = (desc: DescEnum, number: number): string => nameIn(desc, number).toLowerCase().replace("_", " ");
const formatTime = (time: Timestamp | undefined): string =>
  time === undefined ? "" : formatInstant(timestampDate(time).getTime());
const formatJson = (value: PolicyChange["before"]): string =>
  value === undefined ? "none" : formatValue((value.kind.value ?? "") as never);

function formatChange({ path, before, after, added, removed }: PolicyChange): string {
  const members = [...removed.map((item) => `-${item}`), ...added.map((item) => `+${item}`)];
  return `${path}: ${members.length > 0 ? members.join(" ") : `${formatJson(before)} → ${formatJson(after)}`}`;
}
