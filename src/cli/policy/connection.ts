import { readFileSync } from "node:fs";
import { type Client, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";
import { ConfigError } from "../../config.ts";
import { isLoopback } from "../../domain/loopback.ts";
import { defaultTokenFile, type PolicyOptions } from "./options.ts";

export type Policies = Client<typeof LoginPolicyService>;

/** Uses the server that the options name. Throws a ConfigError for options that cannot be used, and where the server refuses a call. */
export async function withPolicies<T>(options: PolicyOptions, use: (policies: Policies) => Promise<T>): Promise<T> {
  const url = readUrl(options.server);
  const token = readToken(url, options.tokenFile);
  const transport = createConnectTransport({
    baseUrl: url.href,
    httpVersion: "1.1",
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  try {
    return await use(createClient(LoginPolicyService, transport));
  } catch (error) {
    if (error instanceof ConnectError) throw new ConfigError(`the server at ${url.origin} says: ${error.message}`);
    throw error;
  }
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError("--server needs a URL such as https://policies.example");
  }
  return url;
}

function readToken(url: URL, file: string | undefined): string {
  if (file === undefined && !isLoopback(url.hostname)) {
    throw new ConfigError(
      `name the file with a token for ${url.host} by --token-file: ${defaultTokenFile} stays on this machine`,
    );
  }
  const path = file ?? defaultTokenFile;
  try {
    return readFileSync(path, "utf8").trim();
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    throw new ConfigError(`the token in ${path} cannot be read (${reason}): name its file by --token-file`);
  }
}
