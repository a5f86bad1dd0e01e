// Runs in the page: watches login policies, as a web application would. It is bundled as `pageClients`.
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { LoginPolicyService } from "../../../gen/portcullis/v1/login_policy_service_pb.ts";

export type WatchClient = "gRPC-Web" | "Connect" | "server-sent events";

export interface PageWatch {
  readonly url: string;
  readonly token: string;
  readonly client: WatchClient;
  /** After this one, if it is given. */
  readonly resumeToken?: string;
}

/** An answer by its kind, and where to resume after it. */
export interface PageWatchAnswer {
  readonly kind: string | undefined;
  readonly resumeToken: string;
}

declare global {
  /** Given by the test, which is told of each answer as it comes. */
  function answered(answer: PageWatchAnswer): Promise<void>;
}

/** Reads so many answers, and leaves. */
export async function watch(wanted: PageWatch, count: number): Promise<readonly PageWatchAnswer[]> {
  const found: PageWatchAnswer[] = [];
  const controller = new AbortController();
  const answers = wanted.client === "server-sent events" ? events(wanted, controller) : messages(wanted, controller);
  for await (const answer of answers) {
    found.push(answer);
    await answered(answer);
    if (found.length === count) break;
  }
  controller.abort();
  return found;
}

async function* messages({ url, token, client, resumeToken = "" }: PageWatch, { signal }: AbortController) {
  const transport = (client === "Connect" ? createConnectTransport : createGrpcWebTransport)({ baseUrl: url });
  const options = { headers: { authorization: `Bearer ${token}` }, signal };
  for await (const answer of createClient(LoginPolicyService, transport).watchLoginPolicies({ resumeToken }, options)) {
    yield { kind: answer.event.case, resumeToken: answer.resumeToken };
  }
}

async function* events({ url, token, resumeToken }: PageWatch, { signal }: AbortController) {
  const response = await fetch(`${url}/portcullis/v1/loginPolicies:watch`, {
    headers: {
      authorization: `Bearer ${token}`,
      accept: "text/event-stream",
      ...(resumeToken !== undefined && { "last-event-id": resumeToken }),
    },
    signal,
  });
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const whole = text.split("\n\n");
    text = whole.pop() ?? "";
    for (const event of whole) {
      const kind = ["snapshot", "change", "checkpoint"].find((name) => event.includes(`"${name}":`));
      yield { kind, resumeToken: /^id: (.*)$/m.exec(event)?.[1] ?? "" };
    }
  }
}
