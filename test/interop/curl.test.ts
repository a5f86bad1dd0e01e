// curl on the REST routes.
import { describe, expect } from "vitest";
import { certificatePath, defineClientSuite, type FactorClient, type PortName, type Target } from "./client-suite.ts";
import { isLeftOut } from "./left-out.ts";
import { missingProgram, run } from "./run.ts";

const ways: readonly { name: string; over: PortName; args: readonly string[]; version: string }[] = [
  { name: "HTTP/1.1", over: "plaintext", args: ["--http1.1"], version: "1.1" },
  { name: "HTTP/2 with prior knowledge", over: "plaintext", args: ["--http2-prior-knowledge"], version: "2" },
  // It offers `Upgrade: h2c`, which no server has to take.
  { name: "an offer to upgrade to HTTP/2", over: "plaintext", args: ["--http2"], version: "1.1" },
  { name: "HTTP/1.1", over: "TLS", args: ["--http1.1"], version: "1.1" },
  { name: "HTTP/2", over: "TLS", args: ["--http2"], version: "2" },
];

describe.skipIf(isLeftOut(missingProgram("curl", /\bHTTP2\b/)))("REST", () => {
  for (const { name, over, args, version } of ways) {
    defineClientSuite({ name: `curl, ${name}`, over: [over], open: (target) => factorClient(target, args, version) });
  }
});

function factorClient({ url, token }: Target, args: readonly string[], version: string): FactorClient {
  const ca = url.startsWith("https:") ? ["--cacert", certificatePath] : [];
  const post = async (path: string, ...data: readonly string[]) => {
    const { status, stdout, stderr } = await run("curl", [
      "--disable", // whatever the user's .curlrc says
      "--silent",
      "--show-error",
      "--noproxy",
      "*",
      "--request",
      "POST",
      "--header",
      `Authorization: Bearer ${token}`,
      "--write-out",
      "\n%{http_version} %{http_code}",
      ...args,
      ...ca,
      ...data,
      `${url}/management/v1/policies/login/second_factors${path}`,
    ]);
    if (status !== 0) throw new Error(`curl ended with ${status}: ${stderr}`);
    const end = stdout.lastIndexOf("\n");
    const [httpVersion, httpStatus] = stdout.slice(end + 1).split(" ");
    expect(httpVersion).toBe(version);
    return { httpStatus: Number(httpStatus), body: JSON.parse(stdout.slice(0, end)) as unknown };
  };
  return {
    async list() {
      const { httpStatus, body } = await post("/_search");
      expect(httpStatus).toBe(200);
      return (body as { result: string[] }).result;
    },
    async add(factor) {
      const json = ["--header", "Content-Type: application/json", "--data", JSON.stringify({ type: factor })];
      const { httpStatus, body } = await post("", ...json);
      if (httpStatus === 200) return undefined;
      const { code, message, details } = body as { code: number; message: string; details: { id?: string }[] };
      return { code, message, detailId: details[0]?.id };
    },
  };
}
