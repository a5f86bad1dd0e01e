// Random calls of both APIs by several callers, against a model of what is written: every read of either API agrees with it.
import { create, type JsonObject, toJson } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { LoginPolicySchema } from "../../gen/portcullis/v1/login_policy_pb.ts";
import {
  ListLoginPolicyRevisionsRequest_View,
  LoginPolicyService,
} from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import {
  type MultiFactorType,
  type SecondFactorType,
  LoginPolicySchema as V1PolicySchema,
} from "../../gen/zitadel/policy_pb.ts";
import { startTestServer } from "../fixtures/server.ts";
import { createRandom } from "../process/random.ts";

/** Enough for every call to meet every state several times. More in `npm run test:all`. */
const rounds = process.env["PORTCULLIS_TEST_LONG"] ? 3000 : 250;

/** The part of the settings that the calls change. */
interface Settings {
  readonly forceMfa: boolean;
  readonly hidePasswordReset: boolean;
  readonly defaultRedirectUri: string;
}
interface Policy extends Settings {
  readonly secondFactors: SecondFactorType[];
  readonly multiFactors: MultiFactorType[];
}
const given: Policy = {
  forceMfa: false,
  hidePasswordReset: false,
  defaultRedirectUri: "",
  secondFactors: [1, 2],
  multiFactors: [1],
};

/** What one owner's policy was: undefined where an organization inherited. */
interface Owner {
  readonly name: string;
  own: Policy | undefined;
  /** Of each revision, oldest first: its name, what its owner had, and the message that applied, without name and etag. */
  readonly revisions: { name: string; own: Policy | undefined; shown: JsonObject }[];
}

const same = (a: Policy, b: Policy): boolean => JSON.stringify(inOrder(a)) === JSON.stringify(inOrder(b));
const inOrder = (policy: Policy) => ({
  forceMfa: policy.forceMfa,
  hidePasswordReset: policy.hidePasswordReset,
  defaultRedirectUri: policy.defaultRedirectUri,
  secondFactors: [...policy.secondFactors].sort(),
  multiFactors: [...policy.multiFactors].sort(),
});

it(`two APIs agree with a model through ${rounds} random calls`, { timeout: 120_000 }, async () => {
  const seed = Number(process.env["PORTCULLIS_SEED"] ?? Date.now() % 1_000_000);
  const random = createRandom(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const server = await startTestServer();
  const transport = createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" });
  const clientOf = <S extends typeof LoginPolicyService | typeof AdminService | typeof ManagementService>(service: S) =>
    createClient(service, transport) as Client<S>;
  const [policies, admin, management] = [
    clientOf(LoginPolicyService),
    clientOf(AdminService),
    clientOf(ManagementService),
  ];

  const other = await server.directory.addOrganization("Other");
  const ids = [server.defaultOrganization, other.id];
  const instance: Owner = { name: "instance/loginPolicy", own: given, revisions: [] };
  const organizations = ids.map(
    (id): Owner => ({ name: `organizations/${id}/loginPolicy`, own: undefined, revisions: [] }),
  );
  const owners = [instance, ...organizations];
  const tokens = new Map<Owner, readonly string[]>([[instance, [server.adminToken]]]);
  for (const [index, owner] of organizations.entries()) {
    const organizationId = ids[index] as string;
    tokens.set(owner, [server.adminToken, await server.createCaller("ORG_OWNER", { organizationId })]);
  }
  const headersFor = (owner: Owner, token = pick(tokens.get(owner) ?? [])) => {
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    if (owner !== instance) headers["x-zitadel-orgid"] = owner.name.split("/")[1] as string;
    return { headers };
  };
  const effective = (owner: Owner): Policy => owner.own ?? (instance.own as Policy);

  const etags = new Map<string, string>();
  const byEtag = new Map<string, string>();
  let staleEtag = '"none"';

  /** What GetLoginPolicy shows, which must be what the model says. */
  async function look(owner: Owner): Promise<{ shown: JsonObject; etag: string }> {
    const message = await policies.getLoginPolicy({ name: owner.name }, headersFor(owner));
    const { etag, ...rest } = toJson(LoginPolicySchema, message) as { etag: string } & JsonObject;
    const text = JSON.stringify(rest);
    // One etag for one message, and one message for one etag.
    expect(etags.get(text) ?? etag).toBe(etag);
    expect(byEtag.get(etag) ?? text).toBe(text);
    etags.set(text, etag);
    byEtag.set(etag, text);
    const want = effective(owner);
    expect(message).toMatchObject(inOrderless(want));
    expect(message.origin === 2).toBe(owner.own === undefined);
    const v1 =
      owner === instance
        ? (await admin.getLoginPolicy({}, headersFor(owner))).policy
        : (await management.getLoginPolicy({}, headersFor(owner))).policy;
    expect(v1 ?? create(V1PolicySchema)).toMatchObject({
      ...inOrderless(want),
      isDefault: (owner.own ?? instance.own) === instance.own,
    });
    const { name: _, ...shown } = rest;
    return { shown, etag };
  }
  const inOrderless = ({ secondFactors, multiFactors, ...settings }: Policy) => ({
    ...settings,
    secondFactors: expect.toSatisfy((list: number[]) => [...list].sort().join() === [...secondFactors].sort().join()),
    multiFactors: expect.toSatisfy((list: number[]) => [...list].sort().join() === [...multiFactors].sort().join()),
  });

  /** Makes a call, which the model refuses with `refused`, or after which the owner has `after`. */
  async function write(
    owner: Owner,
    call: () => Promise<unknown>,
    expected: { readonly refused: Code } | { readonly after: Policy | undefined; readonly writes: boolean },
  ): Promise<void> {
    let code: Code | undefined;
    try {
      await call();
    } catch (error) {
      code = ConnectError.from(error).code;
    }
    const refused = "refused" in expected ? expected.refused : undefined;
    expect(code === undefined ? "OK" : Code[code]).toBe(refused === undefined ? "OK" : Code[refused]);
    const writes = "writes" in expected && expected.writes;
    if ("after" in expected) owner.own = expected.after;
    const request = { parent: owner.name, pageSize: 1 };
    const [newest] = (await policies.listLoginPolicyRevisions(request, headersFor(owner))).loginPolicyRevisions;
    const { shown } = await look(owner);
    if (writes) {
      expect(newest?.name).not.toBe(owner.revisions.at(-1)?.name);
      owner.revisions.push({ name: newest?.name ?? "", own: owner.own, shown });
    } else expect(newest?.name).toBe(owner.revisions.at(-1)?.name);
  }

  const randomPolicy = (): Settings => ({
    forceMfa: pick([true, false]),
    hidePasswordReset: pick([true, false]),
    defaultRedirectUri: pick(["", "https://a.example", "https://b.example"]),
  });
  const without = <T>(list: readonly T[], one: T) => list.filter((member) => member !== one);

  /** Of v1: a change of one factor. */
  async function changeFactor(owner: Owner): Promise<void> {
    const [set, type, adds] = [pick(["secondFactors", "multiFactors"] as const), pick([1, 2, 3]), pick([true, false])];
    // One number, of whichever enum.
    const factor = (set === "multiFactors" ? 1 : type) as 1;
    const [before, header] = [effective(owner), headersFor(owner)];
    const has = before[set].includes(factor);
    const service = owner === instance ? admin : management;
    const call = () =>
      set === "secondFactors"
        ? adds
          ? service.addSecondFactorToLoginPolicy({ type: factor }, header)
          : service.removeSecondFactorFromLoginPolicy({ type: factor }, header)
        : adds
          ? service.addMultiFactorToLoginPolicy({ type: factor }, header)
          : service.removeMultiFactorFromLoginPolicy({ type: factor }, header);
    if (adds && has && owner.own !== undefined) return write(owner, call, { refused: Code.AlreadyExists });
    if (!adds && !has) return write(owner, call, { refused: Code.NotFound });
    const list = adds ? (has ? before[set] : [...before[set], factor]) : without(before[set], factor);
    return write(owner, call, { after: { ...before, [set]: list }, writes: true });
  }

  /** Of v1: all settings, a policy with given values, or a reset. */
  async function changeByV1(owner: Owner): Promise<void> {
    const header = headersFor(owner);
    const wanted = randomPolicy();
    if (owner === instance) {
      const before = effective(owner);
      const after = { ...before, ...wanted };
      const call = () => admin.updateLoginPolicy({ ...(rest as object), ...wanted }, header);
      return write(owner, call, same(before, after) ? { refused: Code.FailedPrecondition } : { after, writes: true });
    }
    const kind = pick(["update", "add", "reset"] as const);
    if (kind === "reset") {
      const call = () => management.resetLoginPolicyToDefault({}, header);
      return write(owner, call, owner.own ? { after: undefined, writes: true } : { refused: Code.NotFound });
    }
    if (kind === "add") {
      const factors = {
        secondFactors: pick<SecondFactorType[]>([[], [3], [2, 1]]),
        multiFactors: pick<MultiFactorType[]>([[], [1]]),
      };
      const call = () => management.addCustomLoginPolicy({ ...(rest as object), ...wanted, ...factors }, header);
      const after = { ...wanted, ...factors };
      return write(owner, call, owner.own ? { refused: Code.AlreadyExists } : { after, writes: true });
    }
    const call = () => management.updateCustomLoginPolicy({ ...(rest as object), ...wanted }, header);
    if (owner.own === undefined) return write(owner, call, { refused: Code.NotFound });
    const after = { ...owner.own, ...wanted };
    return write(owner, call, same(owner.own, after) ? { refused: Code.FailedPrecondition } : { after, writes: true });
  }
  // The other settings as a new instance has them, so that only those of the model differ. They have the same names in all requests.
  const {
    details: _d,
    isDefault: _i,
    idps: _p,
    secondFactors: _s,
    multiFactors: _m,
    ...rest
  } = (await admin.getLoginPolicy({}, headersFor(instance))).policy as NonNullable<
    Awaited<ReturnType<typeof admin.getLoginPolicy>>["policy"]
  >;

  async function changeAsAWhole(owner: Owner): Promise<void> {
    const wanted: Policy = {
      ...randomPolicy(),
      secondFactors: pick([[], [1], [2, 3], [3, 2, 2], [1, 2]]),
      multiFactors: pick([[], [1]]),
    };
    const masks = {
      forceMfa: "force_mfa",
      hidePasswordReset: "hide_password_reset",
      defaultRedirectUri: "default_redirect_uri",
      secondFactors: "second_factors",
      multiFactors: "multi_factors",
    } as const;
    const keys = (Object.keys(masks) as (keyof Policy)[]).filter(() => random() < 0.5);
    const before = effective(owner);
    const after: Policy = { ...before, ...Object.fromEntries(keys.map((key) => [key, unique(wanted[key])])) };
    const { etag } = await look(owner);
    const sent = pick(["", etag, staleEtag]);
    const request = {
      loginPolicy: { name: owner.name, etag: sent, ...wanted },
      // Without a path, what is set counts: so an etag alone is sent.
      updateMask: { paths: keys.length === 0 ? ["etag"] : keys.map((key) => masks[key]) },
    };
    const call = () => policies.updateLoginPolicy(request, headersFor(owner));
    if (sent !== "" && sent !== etag) return write(owner, call, { refused: Code.Aborted });
    staleEtag = etag;
    const copies = owner.own === undefined && keys.length > 0;
    const writes = copies || !same(before, after);
    return write(owner, call, { after: writes ? after : owner.own, writes });
  }
  const unique = <T>(value: T): T => (Array.isArray(value) ? ([...new Set(value)] as T) : value);

  async function undo(owner: Owner): Promise<void> {
    const header = headersFor(owner);
    if (owner !== instance && random() < 0.3) {
      const call = () => policies.resetLoginPolicy({ name: owner.name }, header);
      return write(owner, call, { after: undefined, writes: owner.own !== undefined });
    }
    const target = pick(owner.revisions);
    if (target === undefined) {
      const call = () => policies.rollbackLoginPolicy({ name: `${owner.name}/revisions/999999` }, header);
      return write(owner, call, { refused: Code.NotFound });
    }
    const call = () => policies.rollbackLoginPolicy({ name: target.name }, header);
    const writes =
      target.own === undefined || owner.own === undefined ? target.own !== owner.own : !same(target.own, owner.own);
    return write(owner, call, { after: target.own, writes });
  }

  try {
    instance.revisions.push({ name: `${instance.name}/revisions/1`, own: given, shown: (await look(instance)).shown });
    for (let round = 0; round < rounds; round++) {
      const owner = pick(owners);
      await pick([changeFactor, changeFactor, changeByV1, changeAsAWhole, changeAsAWhole, undo])(owner);
      for (const each of owners) await look(each);
    }
    for (const owner of owners) {
      const seen: JsonObject[] = [];
      for (let pageToken = ""; ; ) {
        const request = { parent: owner.name, pageSize: 7, pageToken, view: ListLoginPolicyRevisionsRequest_View.FULL };
        const page = await policies.listLoginPolicyRevisions(request, headersFor(owner));
        for (const { name, snapshot } of page.loginPolicyRevisions) {
          seen.unshift({ name, ...shownIn(toJson(LoginPolicySchema, snapshot ?? create(LoginPolicySchema))) });
        }
        pageToken = page.nextPageToken;
        if (pageToken === "") break;
      }
      expect(seen).toEqual(owner.revisions.map(({ name, shown }) => ({ name, ...shown })));
      for (const { name, shown } of [pick(owner.revisions), owner.revisions.at(0)].filter((one) => one !== undefined)) {
        const then = await policies.getLoginPolicy({ name }, headersFor(owner));
        expect(shownIn(toJson(LoginPolicySchema, then))).toEqual(shown);
      }
    }
    expect(server.failures).toEqual([]);
    expect(await server.store.verify()).toMatchObject({ problems: [] });
  } catch (error) {
    throw new Error(`PORTCULLIS_SEED=${seed}`, { cause: error });
  } finally {
    await server.close();
  }
});

/** Without what is of the moment and not of the state. */
function shownIn(json: unknown): JsonObject {
  const { name: _n, etag: _e, ...shown } = json as JsonObject;
  return shown;
}
