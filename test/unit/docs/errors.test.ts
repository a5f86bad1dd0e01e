import { Code, type ConnectError, createContextValues } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { AuthError, type AuthErrorCode, authRefusals } from "../../../src/auth/errors.ts";
import { PolicyError, type PolicyErrorCode, policyRefusals } from "../../../src/domain/login-policy/errors.ts";
import { toConnectError } from "../../../src/interceptors/errors.ts";
import { httpStatus } from "../../../src/rpc/http/status.ts";
import { StoreError, type StoreErrorCode } from "../../../src/store/errors.ts";
import { readPage, tableRows } from "./page.ts";

const page = readPage("docs/errors.md");
const head = "| Id | Code, HTTP status | Text | When |";

/** What a table says of refusals, sorted: id, code and text. */
const documented = (section: string) =>
  tableRows(page.slice(page.indexOf(`## ${section}\n`)), head)
    .map(([id = "", code, text]) => [id.replaceAll("`", ""), code, text].join(" | "))
    .sort();

/** The same of refusals of the code; several can be alike. */
const refused = (errors: readonly (PolicyError | AuthError)[]) => [
  ...new Set(errors.map((error) => [error.id ?? "none", codeOf(mapped(error)), error.message].join(" | ")).sort()),
];

const mapped = (reason: unknown): ConnectError =>
  toConnectError(reason, { report: () => {}, contextValues: createContextValues() });

function codeOf({ code }: ConnectError): string {
  const name = (Code[code] ?? "").replace(/(?<=.)(?=[A-Z])/g, "_").toUpperCase();
  return `${name}, ${httpStatus(code)}`;
}

const policyErrors = (Object.keys(policyRefusals) as PolicyErrorCode[]).map((code) => new PolicyError(code));
const authErrors = (Object.keys(authRefusals) as AuthErrorCode[]).map((code) => new AuthError(code));
const isOf = (prefix: string) => (error: PolicyError) => error.code.startsWith(prefix);

describe("docs/errors.md", () => {
  it("has every refusal of ManagementService", () => {
    expect(documented("ManagementService")).toEqual(refused(policyErrors.filter(isOf("org_"))));
  });

  it("has every refusal of AdminService", () => {
    expect(documented("AdminService")).toEqual(refused(policyErrors.filter(isOf("instance_"))));
  });

  it("has every refusal of a caller, and of an organization", () => {
    const missing = policyErrors.filter((error) => !isOf("org_")(error) && !isOf("instance_")(error));
    expect(documented("Who calls")).toEqual(refused([...missing, ...authErrors]));
  });

  it("has every failure of the server", () => {
    const codes: Readonly<Record<StoreErrorCode, true>> = {
      conflict: true,
      unavailable: true,
      outcome_unknown: true,
      closed: true,
      corrupt: true,
      unsupported_schema: true,
    };
    const failures = Object.keys(codes).map((code) => new StoreError(code as StoreErrorCode, "for operators"));
    const texts = [...failures, new Error("a bug")].map((reason) => {
      const error = mapped(reason);
      return [codeOf(error), error.rawMessage.replace(/ \(request .*\)$/, "")];
    });
    const rows = tableRows(page, "| Code, HTTP status | Text | Call again? |").map((row) => row.slice(0, 2));
    expect([...rows].sort()).toEqual(texts.sort());
  });
});
