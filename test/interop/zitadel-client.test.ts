// @zitadel/client with @zitadel/proto, ZITADEL's own packages for TypeScript.
import { rootCertificates, setDefaultCACertificates } from "node:tls";
import { enumFromJson, enumToJson } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import { createServerTransport } from "@zitadel/client/node";
import { createManagementServiceClient } from "@zitadel/client/v1";
import { createClientTransport } from "@zitadel/client/web";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";
import { SecondFactorTypeSchema } from "@zitadel/proto/zitadel/policy_pb.js";
import { certificate, defineClientSuite, type FactorClient } from "./client-suite.ts";

// fetch takes no certificate of its own.
setDefaultCACertificates([...rootCertificates, certificate]);

defineClientSuite({
  name: "@zitadel/client/node (gRPC)",
  open: ({ url, token }) =>
    factorClient(createServerTransport(token, { baseUrl: url, nodeOptions: { ca: certificate } })),
});

defineClientSuite({
  name: "@zitadel/client/web (gRPC-Web)",
  // The declared options are those of the Node transport, with httpVersion and the like; they are handed on as they are.
  open: ({ url, token }) => factorClient(createClientTransport(token, { baseUrl: url })),
});

function factorClient(transport: Transport): FactorClient {
  const client = createManagementServiceClient(transport);
  return {
    async list() {
      const { result } = await client.listLoginPolicySecondFactors({});
      return result.map((type) => enumToJson(SecondFactorTypeSchema, type));
    },
    async add(factor) {
      try {
        const type = enumFromJson(SecondFactorTypeSchema, factor as "SECOND_FACTOR_TYPE_OTP");
        await client.addSecondFactorToLoginPolicy({ type });
        return undefined;
      } catch (reason) {
        const error = ConnectError.from(reason);
        const [detail] = error.findDetails(ErrorDetailSchema);
        return { code: error.code, message: error.rawMessage, detailId: detail?.id };
      }
    },
  };
}
