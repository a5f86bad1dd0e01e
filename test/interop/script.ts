import { isDeepStrictEqual } from "node:util";
import type { InteropClient } from "./client.ts";
import { type StepName, stepNames } from "./steps.ts";

const otp = "SECOND_FACTOR_TYPE_OTP";
const u2f = "SECOND_FACTOR_TYPE_U2F";
const email = "SECOND_FACTOR_TYPE_OTP_EMAIL";

/**
 * What a program says of each step, in its JSON object; it may say more. The organization starts with the default policy of
 * the instance, and what is added and removed is SECOND_FACTOR_TYPE_OTP_SMS. `code` is the gRPC code as a number, by REST the
 * one in the body, and `id` the one in the zitadel.v1.ErrorDetail.
 */
export const expectations: Readonly<Record<StepName, Said>> = {
  /** ListLoginPolicySecondFactors. */
  list: { result: [otp, u2f] },
  /** AddSecondFactorToLoginPolicy, which gives the organization a policy of its own. */
  add: { ok: true },
  /** The header `portcullis-policy` of that answer. */
  metadata: { policyHeader: "created" },
  /** The same call again. */
  "add again": { code: 6, message: "Multifactor already exists (Org-2B0ps)", id: "Org-2B0ps" },
  /** RemoveSecondFactorFromLoginPolicy. */
  remove: { ok: true },
  /** GetLoginPolicy. */
  "get policy": { isDefault: false, secondFactors: [otp, u2f] },
  /** Any call with a token that does not exist. */
  "wrong token": { code: 16, id: "AUTH-7fs1e" },
  /** The list of the other organization, which has a factor more than the default policy. */
  "other organization": { result: [otp, u2f, email] },
  /** The list from the slow URL, with a deadline of less than a second. A client without codes says 4 of its own timeout. */
  deadline: { code: 4 },
  /**
   * The list with a gzip-compressed request. By REST the server does not read the body of a list, so there `ok` says that a
   * compressed AddSecondFactorToLoginPolicy, of SECOND_FACTOR_TYPE_OTP, was read: it is refused with the code 6. The list then
   * asks with Accept-Encoding: gzip.
   */
  gzip: { ok: true, result: [otp, u2f] },
};

export type Said = Readonly<Record<string, unknown>>;

/** Reads what a program printed. Throws where a line is not of the script. */
export function readSaid(stdout: string): ReadonlyMap<StepName, Said> {
  const all = new Map<StepName, Said>();
  for (const line of stdout.split("\n").filter((line) => line.trim() !== "")) {
    const { step, ...said } = JSON.parse(line) as Said & { step: StepName };
    if (!stepNames.includes(step)) throw new Error(`no step of the script: ${line}`);
    if (all.has(step)) throw new Error(`said twice: ${line}`);
    all.set(step, said);
    if (step === "add" && "policyHeader" in said) all.set("metadata", { policyHeader: said["policyHeader"] });
  }
  return all;
}

/** The part of what was said that something is expected of. */
export function relevant(step: StepName, said: Said | undefined): Said | undefined {
  return said && Object.fromEntries(Object.keys(expectations[step]).map((name) => [name, said[name]]));
}

/** Steps that the client cannot do over a transport, with the reasons. */
export function cannotOf({ cannot = {} }: InteropClient, transport: string) {
  return typeof cannot === "function" ? cannot(transport) : cannot;
}

/** Sums up for the table which steps went well. */
export function sumUp(client: InteropClient, transport: string, all: ReadonlyMap<StepName, Said>): string {
  const cannot = cannotOf(client, transport);
  const passed = stepNames.filter((step) => isDeepStrictEqual(relevant(step, all.get(step)), expectations[step]));
  const failed = stepNames.filter((step) => !passed.includes(step) && !(step in cannot && !all.has(step)));
  const reasons = Object.entries(cannot).map(([step, reason]) => `; no ${step}: ${reason}`);
  const failures = failed.length === 0 ? "" : `; FAILED: ${failed.join(", ")}`;
  return `${passed.length} of ${stepNames.length} steps${failures}${reasons.join("")}`;
}
