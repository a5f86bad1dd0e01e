// @grpc/grpc-js, the gRPC of most Node programs, with the service described to it from gen/.
import { readFileSync } from "node:fs";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, compressionAlgorithms, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { type SecondFactorType, SecondFactorTypeSchema } from "../../../gen/zitadel/policy_pb.ts";
import { errorIdOf, namesOf } from "../messages.ts";
import { type FactorClient, goThrough, Refused, type Target } from "../node-script.ts";

const { method } = ManagementService;
const { nameOf, numberOf } = namesOf<SecondFactorType>(SecondFactorTypeSchema);

function open({ url, token, organization, ca, timeoutMs, gzip = false }: Target): FactorClient {
  const { protocol, host } = new URL(url);
  const channel = protocol === "https:" ? credentials.createSsl(readFileSync(ca)) : credentials.createInsecure();
  const client = new Client(host, channel, {
    ...(gzip && { "grpc.default_compression_algorithm": compressionAlgorithms.gzip }),
  });

  function call<I extends DescMessage, O extends DescMessage>(rpc: DescMethodUnary<I, O>, input: MessageInitShape<I>) {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    metadata.set("x-zitadel-orgid", organization);
    return new Promise<{ output: MessageShape<O>; policyHeader: string | undefined }>((resolve, reject) => {
      let policyHeader: string | undefined;
      const unary = client.makeUnaryRequest(
        `/${rpc.parent.typeName}/${rpc.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(rpc.input, message)),
        (bytes) => fromBinary(rpc.output, bytes),
        create(rpc.input, input),
        metadata,
        timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
        (error, output) => {
          if (error) reject(refused(error));
          else resolve({ output: output as MessageShape<O>, policyHeader });
        },
      );
      unary.on("metadata", (headers) => {
        policyHeader = headers.get("portcullis-policy")[0]?.toString();
      });
    });
  }

  return {
    list: async () => (await call(method.listLoginPolicySecondFactors, {})).output.result.map(nameOf),
    add: (factor) =>
      call(method.addSecondFactorToLoginPolicy, { type: numberOf(factor) }).then(({ policyHeader }) => ({
        policyHeader,
      })),
    remove: (factor) => call(method.removeSecondFactorFromLoginPolicy, { type: numberOf(factor) }),
    async getPolicy() {
      const { policy } = (await call(method.getLoginPolicy, {})).output;
      if (policy === undefined) throw new Error("no policy in the answer");
      return { isDefault: policy.isDefault, secondFactors: policy.secondFactors.map(nameOf) };
    },
    close: () => client.close(),
  };
}

function refused({ code, details, metadata }: ServiceError): Refused {
  const [status] = metadata.get("grpc-status-details-bin");
  return new Refused({ code, text: details, id: errorIdOf(status as Buffer | undefined) });
}

await goThrough({ open });
