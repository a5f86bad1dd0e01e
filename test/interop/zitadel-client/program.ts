// @zitadel/client with @zitadel/proto, ZITADEL's own packages for TypeScript.
import { readFileSync } from "node:fs";
import { rootCertificates, setDefaultCACertificates } from "node:tls";
import type { Transport } from "@connectrpc/connect";
import { compressionGzip } from "@connectrpc/connect-node";
import { createServerTransport } from "@zitadel/client/node";
import { createManagementServiceClient } from "@zitadel/client/v1";
import { createClientTransport } from "@zitadel/client/web";
import { ErrorDetailSchema } from "@zitadel/proto/zitadel/message_pb.js";
import { type SecondFactorType, SecondFactorTypeSchema } from "@zitadel/proto/zitadel/policy_pb.js";
import { connectFactorClient } from "../connect-script.ts";
import { goThrough, type Target } from "../node-script.ts";
import { cannotOver, isWeb } from "./cannot.ts";

function createTransport({ url, token, ca, gzip, transport }: Target): Transport {
  // The declared options are those of the Node transport, with httpVersion and the like; they are handed on as they are.
  if (isWeb(transport)) return createClientTransport(token, { baseUrl: url });
  return createServerTransport(token, {
    baseUrl: url,
    nodeOptions: { ca: readFileSync(ca) },
    ...(gzip && { sendCompression: compressionGzip, compressMinBytes: 0 }),
  });
}

// fetch takes no certificate of its own.
setDefaultCACertificates([...rootCertificates, readFileSync(process.env["PORTCULLIS_CA"] ?? "", "utf8")]);

await goThrough({
  open: (target) =>
    connectFactorClient<SecondFactorType>({
      client: createManagementServiceClient(createTransport(target)),
      target,
      factors: SecondFactorTypeSchema,
      errorIdOf: (error) => error.findDetails(ErrorDetailSchema)[0]?.id,
    }),
  cannot: cannotOver(process.env["PORTCULLIS_TRANSPORT"] ?? ""),
});
