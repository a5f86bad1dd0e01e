// buf curl, which has the Go implementations of gRPC, gRPC-Web and Connect. It learns the schema by reflection.
import { createRequire } from "node:module";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { ErrorDetailSchema } from "../../../gen/zitadel/message_pb.ts";
import { factorClient, type JsonCall } from "../json-call.ts";
import { type FactorClient, goThrough, Refused, type Target } from "../node-script.ts";
import { run } from "../run.ts";
import { cannot } from "./cannot.ts";
import { transports } from "./transports.ts";

const buf = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");

function open({ url, token, organization, ca, timeoutMs, transport }: Target): FactorClient {
  const { protocol, schema } = transports[transport as keyof typeof transports];
  // A deadline that ends in reflection is told as a service that was not found.
  const fromFile = schema === "file" || timeoutMs !== undefined;

  const call: JsonCall = async (rpc, message) => {
    const { status, stdout, stderr } = await run(process.execPath, [
      buf,
      "curl",
      ...["--protocol", protocol],
      ...(fromFile ? ["--schema", process.env["SCHEMA"] ?? ""] : ["--reflect-protocol", schema]),
      ...(url.startsWith("https:") ? ["--cacert", ca] : []),
      ...(timeoutMs === undefined ? [] : ["--timeout", `${timeoutMs}ms`]),
      "--verbose",
      "--emit-defaults",
      ...["--header", `authorization: Bearer ${token}`],
      ...["--header", `x-zitadel-orgid: ${organization}`],
      ...["--data", JSON.stringify(message)],
      `${url}/zitadel.management.v1.ManagementService/${rpc}`,
    ]);
    if (status !== 0) throw refused(status, stderr);
    // Verbosely it tells the headers of answers, each with the number of its request, of which some are reflection's.
    const policyHeader = /^buf: < \(#\d+\) portcullis-policy: (.*)$/im.exec(stderr)?.[1];
    return { answer: JSON.parse(stdout) as unknown, policyHeader };
  };

  return factorClient(call);
}

/** Reads the error that buf curl prints among the rest, as Connect has it in JSON. Its status is the code, shifted. */
function refused(status: number, printed: string): Error {
  if (status < 8) return new Error(`buf curl ended with ${status}: ${printed}`);
  const error = /^\{$.*^\}$/ms.exec(printed)?.[0];
  if (error === undefined) return new Refused({ code: status >> 3, text: printed });
  const { code, message, details } = JSON.parse(error) as {
    code: string;
    message: string;
    details?: readonly { readonly type: string; readonly value: string }[];
  };
  const detail = details?.find(({ type }) => type === ErrorDetailSchema.typeName);
  const id = detail && fromBinary(ErrorDetailSchema, base64Decode(detail.value)).id;
  return new Refused({ code: codeFromString(code) ?? Number.NaN, text: message, id });
}

await goThrough({ open, cannot });
