// Calls of portcullis.v1 that change, reset and preview policies, each over every protocol.
import { type DescMethodUnary, fromJson, type JsonObject, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { LoginPolicySchema } from "../../gen/portcullis/v1/login_policy_pb.ts";
import { LoginPolicyService } from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { organizationRef } from "../../src/store/store.ts";
import { type Answer, type Client, createClients } from "../fixtures/clients.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";

const rpcs = LoginPolicyService.method;
const protocols = ["gRPC", "gRPC-Web", "Connect with proto", "Connect with JSON", "REST"];

interface Place {
  readonly server: TestServer;
  readonly name: string;
  ask<Method extends DescMethodUnary>(method: Method, message: MessageInitShape<Method["input"]>): Promise<Answer>;
  /** The body of an answer that succeeded. */
  get<Method extends DescMethodUnary>(method: Method, message: MessageInitShape<Method["input"]>): Promise<JsonObject>;
  /** How many events the organization has. */
  version(): Promise<number>;
}

async function on(protocol: string, use: (place: Place) => Promise<void>): Promise<void> {
  const server = await startTestServer();
  const clients = createClients(server.url);
  try {
    const client = clients.find((one) => one.protocol === protocol) as Client;
    const headers = { authorization: `Bearer ${server.adminToken}` };
    const ask: Place["ask"] = (method, message) => client.call({ method, message, headers } as never);
    const ref = organizationRef(server.defaultOrganization);
    await use({
      server,
      name: `organizations/${server.defaultOrganization}/loginPolicy`,
      ask,
      async get(method, message) {
        const { code, message: text, body } = await ask(method, message);
        expect({ code, text }).toEqual({ code: 0, text: "" });
        return body as JsonObject;
      },
      version: async () => (await server.store.read([ref])).get(ref).version,
    });
    expect(server.failures).toEqual([]);
  } finally {
    for (const client of clients) client.close();
    await server.close();
  }
}

const infoOf = ({ details }: Answer) =>
  details.find((detail) => detail["@type"] === "type.googleapis.com/google.rpc.ErrorInfo") as JsonObject | undefined;
const refusal = ({ code, ...answer }: Answer) => ({
  code: Code[code],
  reason: infoOf({ code, ...answer })?.["reason"],
});

describe.each(protocols)("over %s", (protocol) => {
  it("an update is one revision, copies what is inherited, and writes nothing where nothing differs", () =>
    on(protocol, async ({ name, ask, get, version }) => {
      const before = await version();
      const secondFactors = [4 as const, 4 as const, 1 as const];
      const answer = await ask(rpcs.updateLoginPolicy, { loginPolicy: { name, forceMfa: true, secondFactors } });
      expect(answer).toMatchObject({ code: 0, policyHeader: "created" });
      const changed = answer.body as JsonObject;
      expect(changed).toMatchObject({
        name,
        origin: "OWN",
        forceMfa: true,
        secondFactors: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_OTP_SMS"],
      });
      expect(changed).toEqual(await get(rpcs.getLoginPolicy, { name }));
      const [newest, ...older] = (await get(rpcs.listLoginPolicyRevisions, { parent: name }))[
        "loginPolicyRevisions"
      ] as JsonObject[];
      expect(older).toEqual([]);
      expect(newest).toMatchObject({
        name: changed["revision"],
        cause: "COPIED",
        sourceRevision: "instance/loginPolicy/revisions/1",
        changes: [
          { path: "force_mfa", before: false, after: true },
          { path: "second_factors", added: ["SECOND_FACTOR_TYPE_OTP_SMS"], removed: ["SECOND_FACTOR_TYPE_U2F"] },
        ],
      });

      const written = await version();
      expect(written).toBeGreaterThan(before);
      const same = await ask(rpcs.updateLoginPolicy, {
        loginPolicy: { name, forceMfa: true },
        updateMask: { paths: ["force_mfa"] },
      });
      expect(same).toMatchObject({ code: 0, body: changed, policyHeader: undefined });
      expect(await version()).toBe(written);
      const emptied = { loginPolicy: { name }, updateMask: { paths: ["second_factors"] } };
      expect(await get(rpcs.updateLoginPolicy, emptied)).toMatchObject({ secondFactors: [], forceMfa: true });
    }));

  it("an etag that is not current refuses a change, and a current one does not", () =>
    on(protocol, async ({ name, ask, get, version }) => {
      const { etag } = await get(rpcs.getLoginPolicy, { name });
      const changed = await get(rpcs.updateLoginPolicy, {
        loginPolicy: { name, etag: String(etag), hidePasswordReset: true },
      });
      const written = await version();
      for (const stale of [String(etag), '"x"', "x"]) {
        const answers = [
          await ask(rpcs.updateLoginPolicy, { loginPolicy: { name, etag: stale, forceMfa: true } }),
          await ask(rpcs.resetLoginPolicy, { name, etag: stale }),
          await ask(rpcs.rollbackLoginPolicy, { name: String(changed["revision"]), etag: stale }),
        ];
        for (const answer of answers) {
          expect(refusal(answer)).toEqual({ code: "Aborted", reason: "ETAG_MISMATCH" });
          expect(infoOf(answer)).toMatchObject({ domain: "portcullis", metadata: { etag: changed["etag"] } });
          if (protocol === "REST") expect(answer.httpStatus).toBe(409);
        }
      }
      expect(await version()).toBe(written);
      const reset = await get(rpcs.resetLoginPolicy, { name, etag: String(changed["etag"]) });
      expect(reset).toMatchObject({ origin: "INHERITED", etag });
    }));

  it("a reset lets an organization inherit, and writes nothing where it does already", () =>
    on(protocol, async ({ name, get, version }) => {
      const before = await version();
      const inherited = await get(rpcs.resetLoginPolicy, { name });
      expect(await version()).toBe(before);
      await get(rpcs.updateLoginPolicy, { loginPolicy: { name, allowRegister: false } });
      expect(await get(rpcs.resetLoginPolicy, { name })).toEqual(inherited);
    }));

  it("a preview shows what would differ, whom it affects, and what to mind, and writes nothing", () =>
    on(protocol, async ({ server, name, get, version }) => {
      await server.directory.addOrganization("Other");
      const before = await version();
      const update = { loginPolicy: { forceMfa: true }, updateMask: { paths: ["force_mfa", "second_factors"] } };
      const ofInstance = await get(rpcs.previewLoginPolicy, {
        name: "instance/loginPolicy",
        change: { case: "update", value: update },
      });
      expect(ofInstance).toMatchObject({
        before: { forceMfa: false },
        after: { forceMfa: true, secondFactors: [], etag: "", revision: "" },
        changes: [{ path: "force_mfa" }, { path: "second_factors", added: [] }],
        affectedOrganizations: "2",
        affectedOrganizationDisplayNames: expect.arrayContaining(["Default", "Other"]),
        warnings: [expect.objectContaining({ reason: "SECOND_FACTOR_REQUIRED_BUT_NONE_ALLOWED" })],
        permitted: true,
      });
      const ofOrganization = await get(rpcs.previewLoginPolicy, { name, change: { case: "update", value: update } });
      expect(ofOrganization).toMatchObject({ after: { origin: "OWN" }, affectedOrganizations: "1" });
      expect((ofOrganization["warnings"] as JsonObject[]).map(({ reason }) => reason)).toContain("STOPS_INHERITING");
      const reset = await get(rpcs.previewLoginPolicy, { name, change: { case: "reset", value: {} } });
      expect(reset).toMatchObject({ changes: [], affectedOrganizations: "0", after: { origin: "INHERITED" } });
      expect(await version()).toBe(before);
    }));

  it("a request that names two policies, a revision where a policy is meant, or no change, is refused", () =>
    on(protocol, async ({ server, name, ask }) => {
      const other = `organizations/${(await server.directory.addOrganization("Other")).id}/loginPolicy`;
      const previews = [
        { case: "update", value: { loginPolicy: { name: other, forceMfa: true } } },
        { case: "reset", value: { name: other } },
        { case: "rollback", value: { name: `${other}/revisions/1` } },
        { case: "rollback", value: { name } },
      ] as const;
      for (const change of previews) {
        expect(refusal(await ask(rpcs.previewLoginPolicy, { name, change }))).toMatchObject({
          reason: "FIELD_INVALID",
        });
      }
      expect(refusal(await ask(rpcs.previewLoginPolicy, { name }))).toMatchObject({ reason: "FIELD_MISSING" });
      const missing = { name, change: { case: "rollback", value: { name: `${name}/revisions/99` } } } as const;
      expect(refusal(await ask(rpcs.previewLoginPolicy, missing))).toEqual({
        code: "NotFound",
        reason: "REVISION_NOT_FOUND",
      });
      if (protocol === "REST") return;
      // REST has no route for these.
      const revision = `${name}/revisions/3`;
      for (const answer of [
        await ask(rpcs.updateLoginPolicy, { loginPolicy: { name: revision, forceMfa: true } }),
        await ask(rpcs.resetLoginPolicy, { name: "instance/loginPolicy" }),
        await ask(rpcs.explainLoginPolicy, { name: revision }),
        await ask(rpcs.rollbackLoginPolicy, { name }),
        await ask(rpcs.listLoginPolicies, { parent: "organizations/a" }),
      ]) {
        expect(refusal(answer)).toEqual({ code: "InvalidArgument", reason: "FIELD_INVALID" });
      }
    }));

  it("a sign-in that counts past the year 9999, or ended before 1970, has a time that every protocol can show", () =>
    on(protocol, async ({ name, get }) => {
      const lifetimeOf = (seconds: bigint) => ({ name, passwordCheckLifetime: { seconds, nanos: 0 } });
      const expiryAt = async (time: { seconds: bigint; nanos: number }) => {
        const checks = [{ time, kind: { case: "password", value: {} } as const }];
        const user = { hasPassword: true, secondFactorSetupSkippedTime: time };
        const asked = { name, user, checks, signInStartTime: time, evaluationTime: time };
        return (await get(rpcs.evaluateSignIn, asked))["expireTime"];
      };
      await get(rpcs.updateLoginPolicy, { loginPolicy: lifetimeOf(315_576_000_000n) });
      expect(await expiryAt({ seconds: 1_800_000_000n, nanos: 0 })).toBe("9999-12-31T23:59:59.999Z");
      await get(rpcs.updateLoginPolicy, { loginPolicy: lifetimeOf(1n) });
      expect(await expiryAt({ seconds: -100n, nanos: 500_000_000 })).toBe("1969-12-31T23:58:21.500Z");
    }));

  it("a page of revisions goes on with BASIC where no view was named, and not with FULL", () =>
    on(protocol, async ({ name: parent, ask, get }) => {
      for (const forceMfa of [true, false])
        await get(rpcs.updateLoginPolicy, { loginPolicy: { name: parent, forceMfa } });
      const { nextPageToken } = await get(rpcs.listLoginPolicyRevisions, { parent, pageSize: 1 });
      const next = { parent, pageToken: String(nextPageToken) };
      expect(await get(rpcs.listLoginPolicyRevisions, { ...next, view: 1 })).toMatchObject({ nextPageToken: "" });
      const full = await ask(rpcs.listLoginPolicyRevisions, { ...next, view: 2 });
      expect(refusal(full)).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    }));

  it("lists go by id or by name, filter, and join up", () =>
    on(protocol, async ({ server, ask, get }) => {
      for (const name of ["beta", "alpha", "alpine", "Alpha"]) await server.directory.addOrganization(name);
      const gone = await server.directory.addOrganization("alps");
      await server.directory.removeOrganization(gone.id);
      const own = await server.directory.addOrganization("own");
      await get(rpcs.updateLoginPolicy, {
        loginPolicy: { name: `organizations/${own.id}/loginPolicy`, forceMfa: true },
      });
      const list = async (filter: string, pageSize = 0) => {
        const names: unknown[] = [];
        for (let pageToken = ""; ; ) {
          const page = await get(rpcs.listLoginPolicies, { parent: "organizations/-", filter, pageSize, pageToken });
          names.push(...(page["loginPolicies"] as JsonObject[]).map((one) => one["organizationDisplayName"]));
          pageToken = String(page["nextPageToken"]);
          if (pageToken === "") return names;
        }
      };
      const all = ["Default", "beta", "alpha", "alpine", "Alpha", "own"];
      expect(await list("")).toEqual(all);
      expect(await list("", 1)).toEqual(all);
      const whole = { parent: "organizations/-", pageSize: all.length };
      expect(await get(rpcs.listLoginPolicies, whole)).toMatchObject({ nextPageToken: "" });
      expect(await list("origin = OWN")).toEqual(["own"]);
      expect(await list("origin = INHERITED", 2)).toEqual(all.slice(0, -1));
      expect(await list('organization_display_name : "al*"', 1)).toEqual(["alpha", "alpine"]);
      const { nextPageToken } = await get(rpcs.listLoginPolicies, { parent: "organizations/-", pageSize: 1 });
      const other = { parent: "organizations/-", filter: "origin = OWN", pageToken: String(nextPageToken) };
      expect(refusal(await ask(rpcs.listLoginPolicies, other))).toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
    }));
});

it.each([
  { seconds: 10n ** 18n, nanos: 0 },
  { seconds: 1n, nanos: -5 },
])("a duration that JSON cannot show is refused, and so is its preview: %s", (passwordCheckLifetime) =>
  on("gRPC", async ({ name, ask, version }) => {
    const before = await version();
    const update = { loginPolicy: { name, passwordCheckLifetime } };
    for (const answer of [
      await ask(rpcs.updateLoginPolicy, update),
      await ask(rpcs.previewLoginPolicy, { name, change: { case: "update", value: update } }),
    ]) {
      expect(refusal(answer)).toEqual({ code: "InvalidArgument", reason: "FIELD_INVALID" });
      expect(JSON.stringify(answer.details)).toContain("login_policy.password_check_lifetime");
    }
    expect(await version()).toBe(before);
  }),
);

it.each(["0", "01", "abc", "-"])(
  "what is no number of a revision is refused in a sentence that says so: %s",
  (number) =>
    on("REST", async ({ name, ask }) => {
      for (const method of [rpcs.getLoginPolicy, rpcs.rollbackLoginPolicy]) {
        const answer = await ask(method, { name: `${name}/revisions/${number}` });
        expect(refusal(answer)).toEqual({ code: "InvalidArgument", reason: "FIELD_INVALID" });
        expect(answer.message).toContain("with /revisions/ and a number from 1 after it");
      }
    }),
);

describe("JSON", () => {
  it.each([
    ["REST, in the body", "/portcullis/v1/instance/loginPolicy", "PATCH", { forceMfaa: true }],
    ["REST, in the query", "/portcullis/v1/instance/loginPolicy?updateMaskk=forceMfa", "PATCH", { forceMfa: true }],
    [
      "Connect",
      `/${LoginPolicyService.typeName}/UpdateLoginPolicy`,
      "POST",
      { loginPolicy: { name: "instance/loginPolicy", forceMfaa: true } },
    ],
  ])("refuses what no field takes: %s", (_, path, method, body) =>
    on("REST", async ({ server }) => {
      const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" };
      const answer = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
      expect(answer.status).toBe(400);
    }),
  );

  it("has an etag that covers all that a message shows", () =>
    on("REST", async ({ get }) => {
      const shown = await get(rpcs.getLoginPolicy, { name: "instance/loginPolicy" });
      expect(toJson(LoginPolicySchema, fromJson(LoginPolicySchema, shown), { alwaysEmitImplicit: true })).toEqual(
        shown,
      );
      expect(shown["etag"]).toMatch(/^"[\w-]{27}"$/);
    }));
});
