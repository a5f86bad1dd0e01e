// curl on the REST routes.
import { gzipSync } from "node:zlib";
import { type FactorClient, goThrough, Refused, type Target } from "../node-script.ts";
import { run } from "../run.ts";
import { transports } from "./transports.ts";

const timedOut = 28;

interface Status {
  readonly code: number;
  readonly message: string;
  readonly details: readonly { readonly id?: string }[];
}

function open({ url, token, organization, ca, timeoutMs, gzip, transport }: Target): FactorClient {
  const { options, version } = transports[transport as keyof typeof transports];

  async function call(verb: string, path: string, message?: object) {
    const json = JSON.stringify(message);
    const child = run(
      "curl",
      [
        "--disable", // whatever the user's .curlrc says
        "--silent",
        "--show-error",
        ...["--noproxy", "*"],
        ...["--request", verb],
        ...["--header", `Authorization: Bearer ${token}`],
        ...["--header", `x-zitadel-orgid: ${organization}`],
        ...(json === undefined ? [] : ["--header", "Content-Type: application/json", "--data-binary", "@-"]),
        // --compressed asks for a compressed answer, and reads it; requests are compressed by whoever calls curl.
        ...(gzip ? ["--compressed"] : []),
        ...(gzip && json !== undefined ? ["--header", "Content-Encoding: gzip"] : []),
        ...(timeoutMs === undefined ? [] : ["--max-time", String(timeoutMs / 1000)]),
        ...["--write-out", "\n%{http_version} %{http_code} %header{portcullis-policy}"],
        ...(url.startsWith("https:") ? ["--cacert", ca] : []),
        ...options,
        `${url}/management/v1/policies/login${path}`,
      ],
      { input: gzip ? gzipSync(json ?? "") : json },
    );
    const { status, stdout, stderr } = await child;
    if (status === timedOut) throw new Refused({ code: 4, text: stderr });
    if (status !== 0) throw new Error(`curl ended with ${status}: ${stderr}`);
    const end = stdout.lastIndexOf("\n");
    const [httpVersion, httpStatus, policyHeader] = stdout.slice(end + 1).split(" ");
    if (httpVersion !== version) throw new Error(`answered by HTTP/${httpVersion} instead of ${version}`);
    const body = JSON.parse(stdout.slice(0, end)) as unknown;
    if (httpStatus === "200") return { body, policyHeader };
    const { code, message: text, details } = body as Status;
    throw new Refused({ code, text, id: details[0]?.id });
  }

  return {
    async list() {
      const { body } = await call("POST", "/second_factors/_search", {});
      return (body as { result: string[] }).result;
    },
    async add(factor) {
      const { policyHeader } = await call("POST", "/second_factors", { type: factor });
      return { policyHeader };
    },
    remove: (factor) => call("DELETE", `/second_factors/${factor}`),
    async getPolicy() {
      const { body } = await call("GET", "");
      return (body as { policy: { isDefault: boolean; secondFactors: string[] } }).policy;
    },
  };
}

await goThrough({ open });
