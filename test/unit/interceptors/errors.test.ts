import type { DescService } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  createContextValues,
  type HandlerContext,
  type Interceptor,
  type UnaryRequest,
} from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { ErrorDetailSchema } from "../../../gen/zitadel/message_pb.ts";
import { AuthError, type AuthErrorCode, authRefusals } from "../../../src/auth/errors.ts";
import { PolicyError, type PolicyErrorCode, policyRefusals } from "../../../src/domain/login-policy/errors.ts";
import { mapErrors, mapGateErrors, type ReportFailure, toConnectError } from "../../../src/interceptors/errors.ts";
import { createInterceptors } from "../../../src/interceptors/index.ts";
import { requestIdOf, setRequestId } from "../../../src/rpc/call/request-id.ts";
import { StoreError, type StoreErrorCode } from "../../../src/store/errors.ts";
import type { Store } from "../../../src/store/store.ts";

type Report = Parameters<ReportFailure>[0];

/** Maps a reason, and collects what was reported. */
function map(reason: unknown): { readonly error: ConnectError; readonly reports: readonly Report[] } {
  const reports: Report[] = [];
  const { contextValues } = caller();
  return { error: toConnectError(reason, { report: (failure) => reports.push(failure), contextValues }), reports };
}

/** The ids of the calls that were reported, and why. */
const named = (reports: readonly Report[]) =>
  reports.map(({ contextValues, reason }) => ({ id: contextValues && requestIdOf(contextValues), reason }));

// By kind and gRPC code.
const codes: Readonly<Record<string, Code>> = {
  invalid: 3,
  not_found: 5,
  already_exists: 6,
  permission_denied: 7,
  failed_precondition: 9,
  unauthenticated: 16,
  unavailable: 14,
};

describe("toConnectError of an expected refusal", () => {
  it.each(Object.keys(policyRefusals) as PolicyErrorCode[])("gives %s its code, text and detail", (code) => {
    const { kind, id, text } = policyRefusals[code];
    const { error, reports } = map(new PolicyError(code));
    expect(error.code).toBe(codes[kind]);
    expect(error.rawMessage).toBe(`${text} (${id})`);
    expect(error.details).toEqual([{ desc: ErrorDetailSchema, value: { id, message: text } }]);
    expect(reports).toEqual([]);
  });

  it.each(Object.keys(authRefusals) as AuthErrorCode[])("gives %s its code and text", (code) => {
    const { id, message, kind } = new AuthError(code);
    const { error, reports } = map(new AuthError(code));
    expect(error.code).toBe(codes[kind]);
    expect(error.rawMessage).toBe(id === undefined ? message : `${message} (${id})`);
    expect(error.details).toEqual(id === undefined ? [] : [{ desc: ErrorDetailSchema, value: { id, message } }]);
    expect(reports).toEqual([]);
  });

  it("leaves a ConnectError as it is", () => {
    const own = new ConnectError("mine", Code.InvalidArgument, { "x-more": "1" }, [
      { desc: BadRequestSchema, value: {} },
    ]);
    expect(map(own)).toEqual({ error: own, reports: [] });
    expect(map(own).error).toBe(own);
  });
});

describe("toConnectError of a failure of the store", () => {
  const published: Readonly<Record<StoreErrorCode, Code>> = {
    conflict: Code.Aborted,
    unavailable: Code.Unavailable,
    outcome_unknown: Code.Unknown,
    closed: Code.Unavailable,
    corrupt: Code.DataLoss,
    unsupported_schema: Code.Internal,
  };
  it.each(Object.entries(published) as [StoreErrorCode, Code][])("maps %s", (storeCode, code) => {
    const reason = new StoreError(storeCode, "secret operator text", new Error("SELECT secret"));
    const { error, reports } = map(reason);
    expect(error.code).toBe(code);
    expect(error.rawMessage).toMatch(/ \(request the-id\)$/);
    expectNoLeak(error);
    expect(named(reports)).toEqual([{ id: "the-id", reason }]);
  });
});

describe("toConnectError of a bug", () => {
  it.each<[string, unknown]>([
    ["an Error", new Error("secret")],
    ["a TypeError with a cause", new TypeError("secret", { cause: new Error("secret") })],
    ["an Error with enumerable fields", Object.assign(new Error("x"), { sql: "secret", code: "SQLITE_BUSY" })],
    ["a text", "secret"],
    ["nothing", undefined],
    ["an object with the look of a refusal", { name: "PolicyError", kind: "invalid", id: "secret", message: "secret" }],
  ])("answers %s with a constant text and an id", (_, reason) => {
    const { error, reports } = map(reason);
    expect(error.code).toBe(Code.Internal);
    expect(error.rawMessage).toBe("the server failed (request the-id)");
    expectNoLeak(error);
    expect(named(reports)).toEqual([{ id: "the-id", reason }]);
    expect(reports[0]?.reason).toBe(reason);
  });
});

function expectNoLeak(error: ConnectError): void {
  expect(error.details).toEqual([]);
  expect([...error.metadata]).toEqual([]);
  expect(error.message).not.toContain("secret");
  expect(error.rawMessage).not.toContain("secret");
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("SQL");
}

/** A call as a dispatch makes it. */
function caller() {
  const contextValues = createContextValues();
  setRequestId(contextValues, "the-id");
  return { header: new Headers(), contextValues, service: ManagementService as DescService };
}

describe("mapErrors", () => {
  const request = { stream: false, ...caller() } as UnaryRequest;
  const answer = { stream: false } as never;

  it("maps what an implementation throws", async () => {
    const run = mapErrors(() => undefined)(() => Promise.reject(new PolicyError("org_policy_exists")));
    await expect(run(request)).rejects.toMatchObject({ code: Code.AlreadyExists });
  });

  it("adds a google.rpc.ErrorInfo for our own API, and for no other", async () => {
    const fail = () => Promise.reject(new PolicyError("org_policy_exists"));
    const ours = { ...request, service: LoginPolicyService } as UnaryRequest;
    const info = { desc: ErrorInfoSchema, value: { reason: "ORG_POLICY_EXISTS", domain: "portcullis" } };
    await expect(mapErrors(() => undefined)(fail)(ours)).rejects.toMatchObject({
      details: [{ desc: ErrorDetailSchema }, info],
    });
    await expect(mapErrors(() => undefined)(fail)(request)).rejects.toMatchObject({
      details: [{ desc: ErrorDetailSchema }],
    });
  });

  it("maps what throws before it returns a promise", async () => {
    const run = mapErrors(() => undefined)(() => {
      throw new PolicyError("org_policy_exists");
    });
    await expect(run(request)).rejects.toMatchObject({ code: Code.AlreadyExists });
  });

  it("hands on an answer untouched", async () => {
    expect(await mapErrors(() => undefined)(async () => answer)(request)).toBe(answer);
  });

  it("maps what a stream of answers ends with, after those before it", async () => {
    const reports: unknown[] = [];
    async function* message() {
      yield 1;
      throw new Error("a secret");
    }
    const response = { stream: true, message: message() } as never;
    const run = mapErrors(({ reason }) => reports.push(reason))(async () => response);
    const { message: mapped } = (await run(request)) as unknown as { message: AsyncIterable<number> };
    const answers = mapped[Symbol.asyncIterator]();
    expect(await answers.next()).toEqual({ done: false, value: 1 });
    await expect(answers.next()).rejects.toMatchObject({
      code: Code.Internal,
      rawMessage: expect.stringMatching(/^the server failed \(request the-id\)$/),
    });
    expect(reports).toEqual([new Error("a secret")]);
  });

  it.each(["return", "throw"] as const)(
    "ends a stream that is not read on, by %s, and reports nothing",
    async (how) => {
      const reports: unknown[] = [];
      const seen: string[] = [];
      async function* message() {
        try {
          yield 1;
        } finally {
          seen.push("ended");
        }
      }
      const response = { stream: true, message: message() } as never;
      const run = mapErrors(({ reason }) => reports.push(reason))(async () => response);
      const { message: mapped } = (await run(request)) as unknown as { message: AsyncIterable<number> };
      const answers = mapped[Symbol.asyncIterator]();
      await answers.next();
      await answers[how]?.(new Error("gone")).catch(() => {});
      expect(seen).toEqual(["ended"]);
      expect(reports).toEqual([]);
    },
  );
});

describe("mapGateErrors", () => {
  const { header: requestHeader, contextValues: values } = caller();
  const context = { requestHeader, values, service: ManagementService as DescService } as HandlerContext;

  it("maps what the gate rejects with", async () => {
    const gate = mapGateErrors(
      async () => Promise.reject(new AuthError("header_missing")),
      () => undefined,
    );
    await expect(gate(context)).rejects.toMatchObject({ code: Code.Unauthenticated, details: [] });
  });

  it("reports a bug of the gate", async () => {
    const reports: Report[] = [];
    const bug = new Error("secret");
    const gate = mapGateErrors(
      () => Promise.reject(bug),
      (failure) => reports.push(failure),
    );
    const error = await gate(context).catch((reason: unknown) => reason as ConnectError);
    expect(error).toMatchObject({ code: Code.Internal });
    expect((error as ConnectError).rawMessage).toContain("(request the-id)");
    expect(named(reports)).toEqual([{ id: "the-id", reason: bug }]);
  });

  it("lets a call pass with its context", async () => {
    const seen: HandlerContext[] = [];
    await mapGateErrors(
      async (given) => {
        seen.push(given);
      },
      () => undefined,
    )(context);
    expect(seen).toEqual([context]);
  });
});

describe("createInterceptors", () => {
  it("maps errors outside of everything else, a bug in the validation too", async () => {
    const reports: Report[] = [];
    const run = createInterceptors({
      store: {} as Store,
      permissions: new Map(),
      report: (failure) => reports.push(failure),
    }).reduceRight<ReturnType<Interceptor>>(
      (next, interceptor) => interceptor(next),
      () => Promise.reject(new Error("it was reached")),
    );
    // A request without a descriptor is one that no protocol would make.
    const broken = { stream: false, method: {}, message: {}, ...caller() } as UnaryRequest;
    await expect(run(broken)).rejects.toMatchObject({ code: Code.Internal });
    expect(named(reports)).toEqual([{ id: "the-id", reason: expect.any(TypeError) }]);
  });
});
