import type { FactorClient } from "./node-script.ts";

/** One call by a tool whose messages are JSON. Rejects with a `Refused` where the server refused it. */
export type JsonCall = (
  rpc: string,
  message: object,
) => Promise<{ readonly answer: unknown; readonly policyHeader?: string | undefined }>;

/** The steps of the script by such a tool. */
export function factorClient(call: JsonCall): FactorClient {
  return {
    async list() {
      return ((await call("ListLoginPolicySecondFactors", {})).answer as { result: string[] }).result;
    },
    async add(factor) {
      const { policyHeader } = await call("AddSecondFactorToLoginPolicy", { type: factor });
      return { policyHeader };
    },
    remove: (factor) => call("RemoveSecondFactorFromLoginPolicy", { type: factor }),
    async getPolicy() {
      const { answer } = await call("GetLoginPolicy", {});
      return (answer as { policy: { isDefault: boolean; secondFactors: string[] } }).policy;
    },
  };
}
