// What clients on Connect's runtime have in common.
import type { DescEnum } from "@bufbuild/protobuf";
import { type CallOptions, ConnectError, type Interceptor } from "@connectrpc/connect";
import { namesOf } from "./messages.ts";
import { type FactorClient, Refused, type Target } from "./node-script.ts";

/** The calls as a generated client has them. */
export interface ManagementClient<Factor> {
  listLoginPolicySecondFactors(request: object, options?: CallOptions): Promise<{ readonly result: readonly number[] }>;
  addSecondFactorToLoginPolicy(request: { readonly type: Factor }, options?: CallOptions): Promise<object>;
  removeSecondFactorFromLoginPolicy(request: { readonly type: Factor }, options?: CallOptions): Promise<object>;
  getLoginPolicy(
    request: object,
    options?: CallOptions,
  ): Promise<{
    readonly policy?: { readonly isDefault: boolean; readonly secondFactors: readonly number[] } | undefined;
  }>;
}

export interface ConnectClient<Factor> {
  readonly client: ManagementClient<Factor>;
  readonly target: Target;
  readonly factors: DescEnum;
  /** The id in the ErrorDetail. */
  readonly errorIdOf: (error: ConnectError) => string | undefined;
}

/** A client of the script; `Factor` is the enum of second factors in its generated code. */
export function connectFactorClient<Factor extends number>(options: ConnectClient<Factor>): FactorClient {
  const { client, target, factors, errorIdOf } = options;
  const { nameOf, numberOf } = namesOf<Factor>(factors);
  const callOptions: CallOptions = {
    headers: { "x-zitadel-orgid": target.organization },
    ...(target.timeoutMs !== undefined && { timeoutMs: target.timeoutMs }),
  };
  const orRefused = (reason: unknown): never => {
    const error = ConnectError.from(reason);
    throw new Refused({ code: error.code, text: error.rawMessage, id: errorIdOf(error) });
  };
  return {
    list: async () => (await client.listLoginPolicySecondFactors({}, callOptions).catch(orRefused)).result.map(nameOf),
    async add(factor) {
      let policyHeader: string | undefined;
      const onHeader = (headers: Headers) => {
        policyHeader = headers.get("portcullis-policy") ?? undefined;
      };
      await client
        .addSecondFactorToLoginPolicy({ type: numberOf(factor) }, { ...callOptions, onHeader })
        .catch(orRefused);
      return { policyHeader };
    },
    remove: (factor) =>
      client.removeSecondFactorFromLoginPolicy({ type: numberOf(factor) }, callOptions).catch(orRefused),
    async getPolicy() {
      const { policy } = await client.getLoginPolicy({}, callOptions).catch(orRefused);
      if (policy === undefined) throw new Error("no policy in the answer");
      return { isDefault: policy.isDefault, secondFactors: policy.secondFactors.map(nameOf) };
    },
  };
}

export function bearer(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
