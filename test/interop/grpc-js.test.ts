// @grpc/grpc-js, the gRPC of most Node programs, with the service described to it from gen/.
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  enumFromJson,
  fromBinary,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  type ChannelOptions,
  type Client,
  compressionAlgorithms,
  credentials,
  Metadata,
  type MethodDefinition,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { ErrorDetailSchema } from "../../gen/zitadel/message_pb.ts";
import { SecondFactorTypeSchema } from "../../gen/zitadel/policy_pb.ts";
import { certificate, defineClientSuite, type FactorClient, type Target } from "./client-suite.ts";

defineClientSuite({ name: "@grpc/grpc-js", open: (target) => factorClient(target) });
defineClientSuite({
  name: "@grpc/grpc-js with gzip requests",
  open: (target) => factorClient(target, { "grpc.default_compression_algorithm": compressionAlgorithms.gzip }),
});

const { method } = ManagementService;
const listRpc = method.listLoginPolicySecondFactors;
const addRpc = method.addSecondFactorToLoginPolicy;

function definitionOf<I extends DescMessage, O extends DescMessage>(
  rpc: DescMethodUnary<I, O>,
): MethodDefinition<MessageShape<I>, MessageShape<O>> {
  return {
    path: `/${rpc.parent.typeName}/${rpc.name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message) => Buffer.from(toBinary(rpc.input, message)),
    requestDeserialize: (bytes) => fromBinary(rpc.input, bytes),
    responseSerialize: (message) => Buffer.from(toBinary(rpc.output, message)),
    responseDeserialize: (bytes) => fromBinary(rpc.output, bytes),
  };
}

const definition = { list: definitionOf(listRpc), add: definitionOf(addRpc) };

type Callable<Definition> =
  Definition extends MethodDefinition<infer Input, infer Output>
    ? (input: Input, metadata: Metadata, done: (error: ServiceError | null, output: Output) => void) => void
    : never;
type ManagementClient = Client & { [Name in keyof typeof definition]: Callable<(typeof definition)[Name]> };

const ManagementClient = makeGenericClientConstructor(definition, ManagementService.name);

function factorClient({ url, token }: Target, options: ChannelOptions = {}): FactorClient {
  const { protocol, host } = new URL(url);
  const channel =
    protocol === "https:" ? credentials.createSsl(Buffer.from(certificate)) : credentials.createInsecure();
  const client = new ManagementClient(host, channel, options) as unknown as ManagementClient;
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  return {
    list: () =>
      new Promise((resolve, reject) => {
        client.list(create(listRpc.input), metadata, (error, output) => {
          if (error) reject(error);
          else resolve(output.result.map((type) => SecondFactorTypeSchema.value[type]?.name ?? `factor ${type}`));
        });
      }),
    add: (factor) =>
      new Promise((resolve) => {
        const type = enumFromJson(SecondFactorTypeSchema, factor as "SECOND_FACTOR_TYPE_OTP");
        const input = create(addRpc.input, { type });
        client.add(input, metadata, (error) => {
          if (!error) return resolve(undefined);
          const [status] = error.metadata.get("grpc-status-details-bin");
          resolve({ code: error.code, message: error.details, detailId: detailIdOf(status as Buffer | undefined) });
        });
      }),
    close: () => client.close(),
  };
}

function detailIdOf(status: Uint8Array | undefined): string | undefined {
  if (status === undefined) return undefined;
  const [detail] = fromBinary(StatusSchema, status).details;
  return detail && anyUnpack(detail, ErrorDetailSchema)?.id;
}
