// grpcurl, which learns the schema by reflection.
import { factorClient, type JsonCall } from "../json-call.ts";
import { type FactorClient, goThrough, Refused, type Target } from "../node-script.ts";
import { run } from "../run.ts";
import { cannot } from "./cannot.ts";

// Its status is this and the gRPC code where the server refused.
const statusOffset = 64;

function open({ url, token, organization, ca, timeoutMs }: Target): FactorClient {
  const { protocol, host } = new URL(url);

  const call: JsonCall = async (rpc, message) => {
    const { status, stdout, stderr } = await run(process.env["GRPCURL"] ?? "grpcurl", [
      ...(protocol === "https:" ? ["-cacert", ca] : ["-plaintext"]),
      ...(timeoutMs === undefined ? [] : ["-max-time", String(timeoutMs / 1000)]),
      "-v",
      "-emit-defaults",
      "-format-error",
      ...["-H", `authorization: Bearer ${token}`],
      ...["-H", `x-zitadel-orgid: ${organization}`],
      ...["-d", JSON.stringify(message)],
      host,
      `zitadel.management.v1.ManagementService/${rpc}`,
    ]);
    if (status !== 0) throw refused(status, stderr);
    // Verbosely it tells headers, answer and trailers, each part after a line that names it.
    const answer = /^Response contents:\n(\{.*?^\})$/ms.exec(stdout)?.[1];
    if (answer === undefined) throw new Error(`grpcurl told no answer: ${stdout}`);
    const policyHeader = /^portcullis-policy: (.*)$/m.exec(stdout)?.[1];
    return { answer: JSON.parse(answer) as unknown, policyHeader };
  };

  return factorClient(call);
}

/** Reads the google.rpc.Status that `-format-error` prints as JSON. */
function refused(status: number, printed: string): Error {
  // It counts the time to connect and to ask for the schema as well, and what ends there has no code.
  if (/context deadline exceeded/.test(printed)) return new Refused({ code: 4, text: printed });
  if (status < statusOffset) return new Error(`grpcurl ended with ${status}: ${printed}`);
  const start = printed.search(/^\s*\{/m);
  if (start < 0) return new Refused({ code: status - statusOffset, text: printed });
  const { code, message, details } = JSON.parse(printed.slice(start)) as {
    code: number;
    message: string;
    details?: readonly { readonly id?: string }[];
  };
  return new Refused({ code, text: message, id: details?.[0]?.id });
}

await goThrough({ open, cannot });
