import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { LoginPolicySchema } from "../../../../gen/portcullis/v1/login_policy_pb.ts";
import { ExplainLoginPolicyResponseSchema } from "../../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { explainHistory } from "../../../../src/services/portcullis/explain-convert.ts";
import type { SubjectHistory } from "../../../../src/services/portcullis/revisions.ts";
import { instanceRef, organizationRef } from "../../../../src/store/store.ts";
import { event, policyOf } from "../../../fixtures/builders.ts";
import { append, streamOf, timelineOf } from "../../../fixtures/streams.ts";

const instance = timelineOf(
  "instance",
  streamOf(
    append(1, [event.instanceCreated()], { actor: "setup" }),
    append(3, [event.secondFactorAdded("otp_sms")], { actor: "root" }),
  ),
);
const organization = timelineOf(
  "organization",
  streamOf(
    append(2, [event.organizationAdded()]),
    append(5, [
      event.policyCopied(policyOf({ secondFactors: ["otp", "u2f", "otp_sms"] }), 2),
      event.policyChanged({ passwordCheckLifetime: { seconds: 60, nanos: 0 } }),
      event.multiFactorRemoved("u2f_with_verification"),
    ]),
  ),
);

function explained(subject: Omit<SubjectHistory, "displayName">, permissions: readonly string[] = []) {
  const access = { can: (permission: string) => permissions.includes(permission) };
  const message = create(ExplainLoginPolicyResponseSchema, explainHistory({ displayName: "", ...subject }, access));
  return toJson(ExplainLoginPolicyResponseSchema, message) as Record<"settings" | "factors", Record<string, unknown>[]>;
}
const ofOrganization = { subject: organizationRef("7"), timelines: { instance, organization } };

describe("an explanation", () => {
  it("has every setting by its wire name, in the order of the fields", () => {
    const { settings } = explained(ofOrganization);
    const names = LoginPolicySchema.fields.map(({ name }) => name);
    expect(settings.map(({ path }) => path)).toEqual(names.slice(names.indexOf("allow_username_password"), -3));
  });

  it("names the revision of its owner, with values as in JSON", () => {
    const { settings, factors } = explained(ofOrganization);
    const setByAda = {
      level: "ORGANIZATION",
      revision: "organizations/7/loginPolicy/revisions/4",
      setTime: "2026-01-01T00:00:07Z",
      actor: "ada",
    };
    expect(settings).toContainEqual({
      path: "password_check_lifetime",
      value: "60s",
      valueAfterReset: "864000s",
      ...setByAda,
    });
    expect(factors).toContainEqual({
      multiFactor: "MULTI_FACTOR_TYPE_U2F_WITH_VERIFICATION",
      allowedAfterReset: true,
      ...setByAda,
    });
    expect(settings).toContainEqual({
      path: "passwordless_type",
      value: "PASSWORDLESS_TYPE_ALLOWED",
      valueAfterReset: "PASSWORDLESS_TYPE_ALLOWED",
      level: "BUILT_IN",
      revision: "instance/loginPolicy/revisions/1",
      setTime: "2026-01-01T00:00:01Z",
      actor: "instance",
    });
  });

  it.each([
    ["root", ["iam.policy.read"]],
    ["instance", []],
  ])("shows who changed the instance as %s to a caller with %j", (actor, permissions) => {
    expect(explained(ofOrganization, permissions).factors).toContainEqual({
      secondFactor: "SECOND_FACTOR_TYPE_OTP_SMS",
      allowed: true,
      allowedAfterReset: true,
      level: "INSTANCE",
      revision: "instance/loginPolicy/revisions/2",
      setTime: "2026-01-01T00:00:03Z",
      actor,
    });
  });

  it("of the instance says nothing of a reset", () => {
    const { settings, factors } = explained({ subject: instanceRef, timelines: { instance } });
    expect([settings.length, factors.length]).toEqual([17, 6]);
    expect(JSON.stringify({ settings, factors })).not.toContain("AfterReset");
  });
});
