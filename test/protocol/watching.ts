// Watching login policies, for tests of several files.
import type { Code } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { expect, onTestFinished } from "vitest";
import {
  LoginPolicyService,
  type WatchLoginPoliciesResponse,
} from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";

/** A server that is closed after the test. */
export async function start(options: TestServerOptions = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  onTestFinished(() => server.close({ graceMs: 0 }));
  return server;
}

export const transports = [
  { protocol: "gRPC", connect: createGrpcTransport },
  { protocol: "gRPC-Web", connect: (o: { baseUrl: string }) => createGrpcWebTransport({ ...o, httpVersion: "1.1" }) },
  {
    protocol: "Connect with JSON",
    connect: (o: { baseUrl: string }) => createConnectTransport({ ...o, httpVersion: "1.1", useBinaryFormat: false }),
  },
] as const;

const [{ connect: overGrpc }] = transports;
export const clientOf = (
  { url }: Pick<TestServer, "url">,
  connect = overGrpc as (typeof transports)[number]["connect"],
) => createClient(LoginPolicyService, connect({ baseUrl: url }));
export const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

export const instanceName = "instance/loginPolicy";
export const nameOf = (organizationId: string) => `organizations/${organizationId}/loginPolicy`;

export interface Watching {
  next(): Promise<WatchLoginPoliciesResponse>;
  /** The next change; checkpoints are skipped. */
  change(): Promise<{ token: string; text: string }>;
  /** The error that ends it, with no change before. */
  end(): Promise<{ code: Code; rawMessage: string }>;
  leave(): void;
}

export function watch(
  server: Pick<TestServer, "url">,
  token: string,
  request: { names?: string[]; resumeToken?: string; withSnapshot?: boolean } = {},
  connect?: (typeof transports)[number]["connect"],
): Watching {
  const controller = new AbortController();
  const stream = clientOf(server, connect).watchLoginPolicies(request, { ...bearer(token), signal: controller.signal });
  const answers = stream[Symbol.asyncIterator]();
  onTestFinished(() => controller.abort());
  const next = async () => {
    const { value, done } = await answers.next();
    if (done) throw new Error("the watch ended without an error");
    return value as WatchLoginPoliciesResponse;
  };
  return {
    next,
    async change() {
      for (;;) {
        const { resumeToken, event } = await next();
        if (event.case === "change") return { token: resumeToken, text: textOf(event.value) };
      }
    },
    async end() {
      for (;;) {
        const answer = await next().catch((error: { code: Code; rawMessage: string }) => error);
        if ("rawMessage" in answer) return answer;
        expect(answer.event.case).not.toBe("change");
      }
    },
    leave: () => controller.abort(),
  };
}

type Change = Extract<WatchLoginPoliciesResponse["event"], { case: "change" }>["value"];
/** Whose policy changed, how, by whom, with which revision. */
const textOf = ({ loginPolicy, changes, actor, revision }: Change): string =>
  [loginPolicy?.name, changes.map(({ path }) => path).join(), actor, revision].join(" ");

export const update = (server: TestServer, name: string, values: { forceMfa?: boolean; allowRegister?: boolean }) =>
  clientOf(server).updateLoginPolicy({ loginPolicy: { name, ...values } }, bearer(server.adminToken));

export const addOrganization = async ({ directory }: TestServer, name: string): Promise<string> =>
  (await directory.addOrganization(name)).id;
