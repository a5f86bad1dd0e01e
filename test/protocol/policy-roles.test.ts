// Who may call what of portcullis.v1, written out as in roles.test.ts: no expectation comes from the source's roles or from the options of
// the RPCs. Here the request names what the call is about.
import { getOption, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { authorization } from "../../gen/portcullis/v1/authorization_pb.ts";
import { LoginPolicyService } from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import type { Client } from "../fixtures/clients.ts";
import { sample, sampleNote } from "../fixtures/sample.ts";
import {
  type Caller,
  callers,
  forbidden,
  instanceRoles,
  type Outcome,
  organizationRoles,
  outcomeText,
  type Permission,
  useCallers,
} from "./callers.ts";
import { type Call, call } from "./case.ts";

const rpcs = LoginPolicyService.method;
const ok: Outcome = { code: 0, http: 200 };
const invalid: Outcome = { code: Code.InvalidArgument, http: 400 };
const missing: Outcome = { code: Code.NotFound, http: 404 };

interface Row {
  readonly make: (name: string) => Call;
  /** On an organization; on the instance, it is the same with `iam.` before it. */
  readonly permission: "policy.read" | "policy.write" | "policy.delete";
  /** For who has it. */
  readonly onOrganization: Outcome;
  readonly onInstance: Outcome;
}

const both = (outcome: Outcome) => ({ onOrganization: outcome, onInstance: outcome });
const inheriting: MessageInitShape<typeof rpcs.previewLoginPolicy.input>["change"] = { case: "reset", value: {} };

/** None changes anything, on organizations that inherit: they may run in any order and all at once. */
const rows: readonly Row[] = [
  { make: (name) => call(rpcs.getLoginPolicy, { name }), permission: "policy.read", ...both(ok) },
  {
    make: (name) => call(rpcs.getLoginPolicy, { name: `${name}/revisions/999` }),
    permission: "policy.read",
    ...both(missing),
  },
  // It names no field, so there is nothing to change.
  {
    make: (name) => call(rpcs.updateLoginPolicy, { loginPolicy: { name } }),
    permission: "policy.write",
    ...both(ok),
  },
  {
    make: (name) => call(rpcs.resetLoginPolicy, { name }),
    permission: "policy.delete",
    onOrganization: ok,
    onInstance: invalid,
  },
  {
    make: (name) => call(rpcs.previewLoginPolicy, { name, change: inheriting }),
    permission: "policy.read",
    onOrganization: ok,
    onInstance: invalid,
  },
  { make: (name) => call(rpcs.explainLoginPolicy, { name }), permission: "policy.read", ...both(ok) },
  {
    make: (name) => call(rpcs.evaluateSignIn, { name, signInStartTime: timestampNow() }),
    permission: "policy.read",
    ...both(ok),
  },
  {
    make: (name) => call(rpcs.listLoginPolicyRevisions, { parent: name }),
    permission: "policy.read",
    ...both(ok),
  },
  {
    make: (name) => call(rpcs.rollbackLoginPolicy, { name: `${name}/revisions/999` }),
    permission: "policy.write",
    ...both(missing),
  },
  // The permission comes first, whatever else is wrong.
  {
    make: (name) => call(rpcs.updateLoginPolicy, { loginPolicy: { name, etag: "x" }, updateMask: { paths: ["no"] } }),
    permission: "policy.write",
    ...both(invalid),
  },
  {
    make: (name) => call(rpcs.listLoginPolicyRevisions, { parent: name, pageToken: "x", pageSize: -1 }),
    permission: "policy.read",
    ...both(invalid),
  },
];

/** What a request names. `own` is the home of every caller whose home was not removed, and `another` the default organization. */
const places = ["instance", "own", "another", "unknown", "removed", "no name"] as const;
type Place = (typeof places)[number];

/** What a caller gets for a row in a place. */
function expected({ rights, token }: Caller, place: Place, row: Row): Outcome {
  if (token !== undefined) return rights.none.refusal;
  if (place === "no name") return invalid;
  if (place === "instance") {
    const granted: readonly Permission[] = [...rights.own.granted, ...rights.another.granted];
    return granted.includes(`iam.${row.permission}`) ? row.onInstance : forbidden;
  }
  const { granted, refusal } = rights[place];
  return granted.includes(row.permission) ? row.onOrganization : refusal;
}

/** No route of REST resets the instance. */
const isWithoutRoute = ({ protocol }: Client, method: Call["method"], message: Call["message"]): boolean =>
  protocol === "REST" &&
  method === rpcs.resetLoginPolicy &&
  (message as { readonly name?: string }).name === "instance/loginPolicy";

const mayReadSomewhere = ({ holds = [] }: Caller): boolean =>
  holds.some(({ role }) => (instanceRoles[role] ?? organizationRoles[role])?.includes("policy.read"));

describe("the table is that of the source", () => {
  it("for every RPC", () => {
    const asked = LoginPolicyService.methods.map((method) => {
      const { resource, permission, instancePermission } = getOption(method, authorization);
      return [method.name, resource, permission, instancePermission];
    });
    expect(asked).toEqual([
      ["GetLoginPolicy", "name", "policy.read", "iam.policy.read"],
      ["ListLoginPolicies", "", "policy.read", ""],
      ["UpdateLoginPolicy", "login_policy.name", "policy.write", "iam.policy.write"],
      ["ResetLoginPolicy", "name", "policy.delete", "iam.policy.delete"],
      ["PreviewLoginPolicy", "name", "policy.read", "iam.policy.read"],
      ["ExplainLoginPolicy", "name", "policy.read", "iam.policy.read"],
      ["EvaluateSignIn", "name", "policy.read", "iam.policy.read"],
      ["ListLoginPolicyRevisions", "parent", "policy.read", "iam.policy.read"],
      ["RollbackLoginPolicy", "name", "policy.write", "iam.policy.write"],
      ["WatchLoginPolicies", "", "policy.read", "iam.policy.read"],
    ]);
    const here = new Set(rows.map(({ make }) => make("").method.name));
    expect([...here].sort()).toEqual(
      asked
        .map(([name]) => name)
        .filter((name) => name !== "ListLoginPolicies" && name !== "WatchLoginPolicies")
        .sort(),
    );
  });
});

describe("the permissions on what a request names, of", () => {
  const stage = useCallers();

  const headersOf = (caller: Caller): Record<string, string> => {
    const token = stage.tokens.get(caller);
    // The header of ZITADEL's API does not count here.
    const other = { "x-zitadel-orgid": stage.organizations.another };
    return token === undefined ? other : { ...other, authorization: `Bearer ${token}` };
  };

  async function answerOf(client: Client, { method, message }: Call, caller: Caller): Promise<string> {
    const { code, details, httpStatus } = await client.call({ method, message, headers: headersOf(caller) });
    const types = details.map((detail) => detail["@type"]);
    // What reaches no call has none.
    const isCalled = !isWithoutRoute(client, method, message);
    if (code !== 0 && isCalled) expect(types).toContain("type.googleapis.com/google.rpc.ErrorInfo");
    const id = details.find((detail) => detail["@type"] === "type.googleapis.com/zitadel.v1.ErrorDetail")?.["id"];
    return outcomeText(code, id, httpStatus);
  }
  const wanted = (client: Client, { code, id, http }: Outcome) =>
    outcomeText(code, id, client.protocol === "REST" ? http : undefined);

  describe.each(callers.map((caller, at) => [caller.name, caller, at] as const))(
    `%s (${sampleNote})`,
    (_, caller, at) => {
      it.each(places)("in a request that names: %s", async (place) => {
        const ids = { ...stage.organizations, unknown: "404404404404404404" };
        const name =
          place === "instance"
            ? "instance/loginPolicy"
            : place === "no name"
              ? "organizations/a b/loginPolicy"
              : `organizations/${ids[place]}/loginPolicy`;

        for (const client of sample(stage.clients, { each: 3, offset: at * places.length + places.indexOf(place) })) {
          const answers = await Promise.all(rows.map(({ make }) => answerOf(client, make(name), caller)));
          expect(answers).toEqual(
            rows.map((row) => {
              const { method, message } = row.make(name);
              const outcome = isWithoutRoute(client, method, message) ? missing : expected(caller, place, row);
              return wanted(client, outcome);
            }),
          );
        }
      });

      it("in a list of all", async () => {
        for (const client of sample(stage.clients, { each: 3, offset: at })) {
          const list = call(rpcs.listLoginPolicies, { parent: "organizations/-" });
          const outcome = caller.token ? caller.rights.none.refusal : mayReadSomewhere(caller) ? ok : forbidden;
          expect(await answerOf(client, list, caller)).toBe(wanted(client, outcome));
        }
      });
    },
  );
});
