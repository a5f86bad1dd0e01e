// @connectrpc/connect-node, with the stubs in gen/.
import { readFileSync } from "node:fs";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { ManagementService } from "../../../gen/zitadel/management_pb.ts";
import { ErrorDetailSchema } from "../../../gen/zitadel/message_pb.ts";
import { type SecondFactorType, SecondFactorTypeSchema } from "../../../gen/zitadel/policy_pb.ts";
import { bearer, connectFactorClient } from "../connect-script.ts";
import { goThrough, type Target } from "../node-script.ts";
import { transports } from "./transports.ts";

function createTransport({ url, token, ca, gzip, transport }: Target): Transport {
  const { protocol, httpVersion } = transports[transport as keyof typeof transports];
  const options = {
    baseUrl: url,
    interceptors: [bearer(token)],
    nodeOptions: { ca: readFileSync(ca) },
    ...(gzip && { sendCompression: compressionGzip, compressMinBytes: 0 }),
  };
  switch (protocol) {
    case "gRPC":
      return createGrpcTransport(options);
    case "gRPC-Web":
      return createGrpcWebTransport({ ...options, httpVersion });
    case "Connect":
      return createConnectTransport({ ...options, httpVersion });
    case "Connect JSON":
      return createConnectTransport({ ...options, httpVersion, useBinaryFormat: false });
  }
}

await goThrough({
  open: (target) =>
    connectFactorClient<SecondFactorType>({
      client: createClient(ManagementService, createTransport(target)),
      target,
      factors: SecondFactorTypeSchema,
      errorIdOf: (error) => error.findDetails(ErrorDetailSchema)[0]?.id,
    }),
});
