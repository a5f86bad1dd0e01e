import { connect } from "node:http2";
import { ManagementService } from "../gen/zitadel/management_pb.ts";

/** A request that is sent over and over. */
export interface Target {
  readonly url: string;
  readonly http: 1 | 2;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent: the verb is GET, otherwise POST. */
  readonly body?: Uint8Array;
}

export const rpcPath = (rpc: string): string => `/${ManagementService.typeName}/${rpc}`;
const emptyFrame = Buffer.alloc(5);

/** List of second factors, on each protocol that is measured. */
export const list = {
  path: rpcPath("ListLoginPolicySecondFactors"),
  route: "/management/v1/policies/login/second_factors/_search",
};

/** The request for the list, as each protocol sends it. */
export function listTargets({ url }: { readonly url: string }, token: string) {
  const authorization = `Bearer ${token}`;
  return {
    grpc: {
      url,
      http: 2,
      path: list.path,
      headers: { "content-type": "application/grpc", te: "trailers", authorization },
      body: emptyFrame,
    },
    grpcWeb: {
      url,
      http: 1,
      path: list.path,
      headers: { "content-type": "application/grpc-web+proto", authorization },
      body: emptyFrame,
    },
    rest: {
      url,
      http: 1,
      path: list.route,
      headers: { "content-type": "application/json", authorization },
      body: Buffer.from("{}"),
    },
  } as const satisfies Record<string, Target>;
}

/** The body of the answer to one call. Rejects where it is no success. */
export async function call(target: Target): Promise<Buffer> {
  if (target.http === 2) return callGrpc(target);
  const response = await fetch(target.url + target.path, {
    method: target.body === undefined ? "GET" : "POST",
    headers: target.headers,
    ...(target.body && { body: target.body }),
  });
  const body = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${target.path}: HTTP ${response.status} ${body}`);
  return body;
}

async function callGrpc({ url, path, headers, body }: Target): Promise<Buffer> {
  const session = connect(url);
  try {
    const stream = session.request({ ":method": "POST", ":path": path, ...headers });
    const chunks: Buffer[] = [];
    let status: unknown;
    const look = (received: { readonly "grpc-status"?: unknown }) => {
      status = received["grpc-status"] ?? status;
    };
    stream.on("response", look).on("trailers", look);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise((resolve, reject) => {
      session.once("error", reject);
      stream.once("end", resolve).once("error", reject);
    });
    stream.end(body);
    await ended;
    if (status !== "0") throw new Error(`${path}: grpc-status ${status}`);
    return Buffer.concat(chunks);
  } finally {
    session.close();
  }
}

/** Rejects unless the answer is exactly these bytes. */
export async function checkAnswer(name: string, target: Target, expected: Uint8Array): Promise<void> {
  const body = await call(target);
  if (!body.equals(expected)) throw new Error(`${name} answers ${body.toString("base64")} and should not`);
}
