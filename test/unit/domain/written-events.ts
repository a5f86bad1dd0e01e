import type { AggregateType } from "../../../src/domain/events.ts";

/** An event as it stands in a store: its payload is the text that was written. */
type Written = readonly [type: string, version: number, payload: string];

const settings =
  '{"allowUsernamePassword":true,"allowRegister":false,"allowExternalIdp":true,"allowDomainDiscovery":true,' +
  '"disableLoginWithEmail":false,"disableLoginWithPhone":true,"forceMfa":true,"forceMfaLocalOnly":false,' +
  '"hidePasswordReset":false,"ignoreUnknownUsernames":true,"passwordlessType":"allowed",' +
  '"defaultRedirectUri":"https://a.example","passwordCheckLifetime":{"seconds":864000,"nanos":0},' +
  '"externalLoginCheckLifetime":{"seconds":864000,"nanos":0},"mfaInitSkipLifetime":{"seconds":2592000,"nanos":0},' +
  '"secondFactorCheckLifetime":{"seconds":64800,"nanos":5},"multiFactorCheckLifetime":{"seconds":43200,"nanos":0}}';
const policy = `"settings":${settings},"secondFactors":["otp","u2f"],"multiFactors":["u2f_with_verification"]`;

const changesOfPolicy: readonly Written[] = [
  ["SecondFactorAdded", 1, '{"factor":"otp_sms"}'],
  ["SecondFactorRemoved", 1, '{"factor":"otp"}'],
  ["MultiFactorRemoved", 1, '{"factor":"u2f_with_verification"}'],
  ["MultiFactorAdded", 1, '{"factor":"u2f_with_verification"}'],
  ["LoginPolicyChanged", 1, settings],
];

/**
 * One history of each kind of aggregate, with every version of every event that this program or an earlier one has written.
 * What is here never changes: a new version of an event is a new line.
 */
export const writtenEvents: Readonly<Record<AggregateType, readonly Written[]>> = {
  instance: [
    ["InstanceCreated", 1, `{"instanceId":"1","defaultOrganizationId":"2","loginPolicy":{${policy}}}`],
    ...changesOfPolicy,
  ],
  organization: [
    ["OrganizationAdded", 1, '{"name":"Acme"}'],
    ["LoginPolicyAdded", 1, `{${policy},"copiedFromSequence":7}`],
    ["LoginPolicyRemoved", 1, "{}"],
    ["LoginPolicyAdded", 1, `{${policy}}`],
    ...changesOfPolicy,
    ["OrganizationRemoved", 1, "{}"],
  ],
  user: [
    ["UserAdded", 1, '{"name":"ada","organizationId":"2"}'],
    ["RoleGranted", 1, '{"role":"IAM_OWNER"}'],
    ["RoleGranted", 1, '{"role":"ORG_OWNER","organizationId":"2"}'],
    ["RoleRevoked", 1, '{"role":"IAM_OWNER"}'],
    ["TokenCreated", 1, '{"tokenId":"t1","digest":"d1"}'],
    ["TokenCreated", 1, '{"tokenId":"t2","digest":"d2","expiresAt":1800000000000}'],
    ["TokenRevoked", 1, '{"tokenId":"t1"}'],
    ["PasswordSet", 1, '{"hash":"$argon2id$v=19$x"}'],
    ["SecretSet", 1, '{"digest":"d3"}'],
    ["KeyAdded", 1, '{"keyId":"k1","publicKey":"-----BEGIN PUBLIC KEY-----"}'],
    ["KeyAdded", 1, '{"keyId":"k2","publicKey":"-----BEGIN PUBLIC KEY-----","expiresAt":1800000000000}'],
    ["KeyRemoved", 1, '{"keyId":"k1"}'],
    ["UserRemoved", 1, "{}"],
  ],
  client: [
    ["ClientAdded", 1, '{"name":"web","redirectUris":["https://a.example/callback"],"secretDigest":"d4"}'],
    ["ClientRemoved", 1, "{}"],
  ],
};
