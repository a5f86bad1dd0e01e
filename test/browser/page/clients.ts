// Runs in the page: the clients that a web application would use, behind one function. It is bundled as `pageClients`.
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  enumFromJson,
  enumToJson,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { createClientTransport } from "@zitadel/client/web";
import { ManagementService } from "@zitadel/proto/zitadel/management_pb.js";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";
import { SecondFactorTypeSchema } from "@zitadel/proto/zitadel/policy_pb.js";
import { GrpcWebClientBase, MethodDescriptor, MethodType, type RpcError } from "grpc-web";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";

/** A call on the second factors of an organization, and where it goes. */
export interface PageCall {
  readonly url: string;
  /** Absent: the page gives none. */
  readonly token?: string;
  readonly client: ClientName;
  /** Factors are named as in JSON. Without one of these, the call lists. */
  readonly add?: string;
  readonly remove?: string;
  /** Calls an RPC of ZITADEL's that the server does not have instead. Not by REST. */
  readonly unserved?: true;
  /** The header `x-zitadel-orgid`. */
  readonly organization?: string;
}

/** What a page learns from a call. */
export type PageAnswer =
  | { readonly kind: "listed"; readonly factors: readonly string[] }
  /** With the header `portcullis-policy`. */
  | { readonly kind: "written"; readonly policy: string | undefined }
  | { readonly kind: "refused"; readonly code: number; readonly message: string; readonly detail: Detail | undefined }
  /** The browser kept the answer to itself, or never sent the request. */
  | { readonly kind: "unreadable"; readonly reason: string };

/** A `zitadel.v1.ErrorDetail`. */
interface Detail {
  readonly id: string;
  readonly message: string;
}

/** Thrown where the server refused a call. */
class Refusal extends Error {
  readonly code: number;
  readonly detail: Detail | undefined;

  constructor(refusal: { readonly code: number; readonly message: string; readonly detail: Detail | undefined }) {
    super(refusal.message);
    this.code = refusal.code;
    this.detail = refusal.detail;
  }
}

type Headers = Readonly<Record<string, string>>;

interface Answered<Message> {
  readonly message: Message;
  readonly policy: string | undefined;
}

/** One call over one protocol. */
type Unary = <I extends DescMessage, O extends DescMessage>(
  wanted: PageCall,
  method: DescMethodUnary<I, O>,
  input: MessageShape<I>,
) => Promise<Answered<MessageShape<O>>>;

const policyHeader = "portcullis-policy";

/** Google's client library over XMLHttpRequest. `text` is its default. */
function grpcWeb(format: "binary" | "text"): Unary {
  return (wanted, method, input) =>
    new Promise((resolve, reject) => {
      let policy: string | undefined;
      const descriptor = new MethodDescriptor<typeof input, MessageShape<typeof method.output>>(
        `/${method.parent.typeName}/${method.name}`,
        MethodType.UNARY,
        Object as never,
        Object as never,
        (message: typeof input) => toBinary(method.input, message),
        (bytes: Uint8Array) => fromBinary(method.output, bytes),
      );
      const settle = (error: RpcError | null, message: MessageShape<typeof method.output>) => {
        if (error === null) resolve({ message, policy });
        else if (error.message.endsWith("http status code: 0")) reject(error);
        else {
          const details = error.metadata["grpc-status-details-bin"];
          const detail = details === undefined ? undefined : detailOfStatus(base64Decode(details));
          reject(new Refusal({ code: error.code, message: error.message, detail }));
        }
      };
      const client = new GrpcWebClientBase({ format });
      const call = client.rpcCall(
        wanted.url + descriptor.getName(),
        input,
        { ...headersOf(wanted) },
        descriptor,
        settle,
      );
      call.on("metadata", (metadata) => {
        policy ??= metadata[policyHeader];
      });
    });
}

function detailOfStatus(bytes: Uint8Array): Detail | undefined {
  const [any] = fromBinary(StatusSchema, bytes).details;
  return any && anyUnpack(any, ErrorDetailSchema);
}

/** The client libraries of Connect, over fetch; `setHeaders` says what the page adds to a call. */
function connect(createTransport: (wanted: PageCall) => Transport, setHeaders = headersOf): Unary {
  return async (wanted, method, input) => {
    const headers = setHeaders(wanted);
    try {
      const answer = await createTransport(wanted).unary(method, undefined, undefined, headers, input as never);
      return { message: answer.message, policy: answer.header.get(policyHeader) ?? undefined };
    } catch (reason) {
      if (!(reason instanceof ConnectError) || reason.cause instanceof TypeError) throw reason;
      const [detail] = reason.findDetails(ErrorDetailSchema);
      throw new Refusal({ code: reason.code, message: reason.rawMessage, detail });
    }
  };
}

interface FactorClient {
  list(call: PageCall): Promise<Answered<readonly string[]>>;
  add(call: PageCall, factor: string): Promise<Answered<unknown>>;
  remove(call: PageCall, factor: string): Promise<Answered<unknown>>;
  callUnserved?(call: PageCall): Promise<Answered<unknown>>;
}

const organizationOf = ({ organization }: PageCall): Headers =>
  organization === undefined ? {} : { "x-zitadel-orgid": organization };

const headersOf = (wanted: PageCall): Headers => ({
  ...(wanted.token !== undefined && { authorization: `Bearer ${wanted.token}` }),
  ...organizationOf(wanted),
});

function rpcs(unary: Unary): FactorClient {
  const { method } = ManagementService;
  const typeOf = (factor: string) => enumFromJson(SecondFactorTypeSchema, factor as "SECOND_FACTOR_TYPE_OTP");
  return {
    async list(call) {
      const rpc = method.listLoginPolicySecondFactors;
      const { message, policy } = await unary(call, rpc, create(rpc.input));
      return { message: message.result.map((type) => enumToJson(SecondFactorTypeSchema, type)), policy };
    },
    add(call, factor) {
      const rpc = method.addSecondFactorToLoginPolicy;
      return unary(call, rpc, create(rpc.input, { type: typeOf(factor) }));
    },
    remove(call, factor) {
      const rpc = method.removeSecondFactorFromLoginPolicy;
      return unary(call, rpc, create(rpc.input, { type: typeOf(factor) }));
    },
    callUnserved: (call) => unary(call, method.getMyOrg, create(method.getMyOrg.input)),
  };
}

/** The routes, with nothing but fetch. */
const rest: FactorClient = {
  async list(call) {
    const { message, policy } = await fetchJson(call, { method: "POST", path: "/_search" });
    return { message: (message as { result: string[] }).result, policy };
  },
  add: (call, factor) => fetchJson(call, { method: "POST", path: "", body: { type: factor } }),
  remove: (call, factor) => fetchJson(call, { method: "DELETE", path: `/${factor}` }),
};

async function fetchJson(
  call: PageCall,
  { method, path, body }: { readonly method: string; readonly path: string; readonly body?: object },
): Promise<Answered<unknown>> {
  const answer = await fetch(`${call.url}/management/v1/policies/login/second_factors${path}`, {
    method,
    headers: { ...headersOf(call), ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  const message: unknown = await answer.json();
  if (answer.ok) return { message, policy: answer.headers.get(policyHeader) ?? undefined };
  const status = message as { code: number; message: string; details: readonly (Detail & { "@type": string })[] };
  const detail = status.details.find((one) => one["@type"] === `type.googleapis.com/${ErrorDetailSchema.typeName}`);
  throw new Refusal({ ...status, detail });
}

const clients = {
  "gRPC-Web text": rpcs(grpcWeb("text")),
  "gRPC-Web binary": rpcs(grpcWeb("binary")),
  "gRPC-Web by connect-web": rpcs(connect(({ url }) => createGrpcWebTransport({ baseUrl: url }))),
  // Its transport adds the token by itself, and cannot be made without one.
  "gRPC-Web by @zitadel/client": rpcs(
    connect(({ url, token }) => createClientTransport(token ?? "", { baseUrl: url }), organizationOf),
  ),
  "Connect JSON": rpcs(connect(({ url }) => createConnectTransport({ baseUrl: url }))),
  "Connect binary": rpcs(connect(({ url }) => createConnectTransport({ baseUrl: url, useBinaryFormat: true }))),
  REST: rest,
} as const;

export type ClientName = keyof typeof clients;

/** Makes a call. Resolves in any case. */
export async function call(wanted: PageCall): Promise<PageAnswer> {
  const client: FactorClient = clients[wanted.client];
  try {
    if (wanted.add !== undefined) return { kind: "written", policy: (await client.add(wanted, wanted.add)).policy };
    if (wanted.remove !== undefined) {
      return { kind: "written", policy: (await client.remove(wanted, wanted.remove)).policy };
    }
    if (wanted.unserved && client.callUnserved !== undefined) {
      return { kind: "written", policy: (await client.callUnserved(wanted)).policy };
    }
    return { kind: "listed", factors: (await client.list(wanted)).message };
  } catch (reason) {
    if (reason instanceof Refusal) {
      const { code, message, detail } = reason;
      return { kind: "refused", code, message, detail: detail && { id: detail.id, message: detail.message } };
    }
    return { kind: "unreadable", reason: String(reason) };
  }
}
