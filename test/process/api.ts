// The calls that these tests make, as REST over HTTP/1.1.
import type { JsonObject } from "@bufbuild/protobuf";

export interface Answer {
  readonly status: number;
  readonly body: JsonObject;
}

export interface CallOptions {
  readonly organization?: string;
  readonly body?: unknown;
}

export const secondFactorsPath = "/management/v1/policies/login/second_factors";

/** Second factors that a new instance's policy does not have. */
export const newFactors = ["OTP_EMAIL", "OTP_SMS", "RECOVERY_CODES"] as const;

/** Calls the server at `url` with a token. */
export class Api {
  readonly #url: string;
  readonly #token: string;

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Rejects only where no answer came. */
  async call(verb: string, path: string, { organization, body }: CallOptions = {}): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method: verb,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(organization !== undefined && { "x-zitadel-orgid": organization }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as JsonObject };
  }

  /** The instance's policy, for which a role on the instance is needed. */
  readInstance(): Promise<Answer> {
    return this.call("GET", "/admin/v1/policies/login");
  }

  readPolicy(organization?: string): Promise<Answer> {
    return this.call("GET", "/management/v1/policies/login", toOptions(organization));
  }

  /** Gives the organization a policy of its own, without factors. */
  addPolicy(organization?: string): Promise<Answer> {
    return this.call("POST", "/management/v1/policies/login", { ...toOptions(organization), body: {} });
  }

  addFactor(factor: string, organization?: string): Promise<Answer> {
    const body = { type: `SECOND_FACTOR_TYPE_${factor}` };
    return this.call("POST", secondFactorsPath, { ...toOptions(organization), body });
  }

  removeFactor(factor: string, organization?: string): Promise<Answer> {
    return this.call("DELETE", `${secondFactorsPath}/SECOND_FACTOR_TYPE_${factor}`, toOptions(organization));
  }

  /** The second factors that apply, without their prefix. */
  async listFactors(organization?: string): Promise<string[]> {
    const { status, body } = await this.call("POST", `${secondFactorsPath}/_search`, toOptions(organization));
    if (status !== 200) throw new Error(`the list was refused: ${JSON.stringify(body)}`);
    return (body["result"] as string[]).map((name) => name.replace("SECOND_FACTOR_TYPE_", ""));
  }
}

const toOptions = (organization: string | undefined): CallOptions =>
  organization === undefined ? {} : { organization };

/** The sequence that the answer to a write carries. */
export function sequenceOf(body: unknown): number {
  const { details } = body as { readonly details?: { readonly sequence?: unknown } };
  const sequence = Number(details?.sequence);
  if (!Number.isSafeInteger(sequence)) throw new Error(`no sequence in ${JSON.stringify(body)}`);
  return sequence;
}
