// gRPC with @grpc/grpc-js and the .proto files: adds a second factor to the organization of the token's user, and lists all factors.
// Other languages use the files that `npm run proto:export` writes.
//
//   PORTCULLIS_TOKEN="$(cat data/admin.token)" npm exec -- node examples/grpc-js-client.ts
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const url = new URL(process.env["PORTCULLIS_URL"] ?? "http://127.0.0.1:8080");
const token = process.env["PORTCULLIS_TOKEN"];
if (token === undefined) throw new Error("set PORTCULLIS_TOKEN, for example to what is in data/admin.token");

// The .proto files import Google's files, which come from an npm package.
const root = join(import.meta.dirname, "..");
const service = loadSync("zitadel/management.proto", {
  includeDirs: [join(root, "proto"), join(root, "node_modules/google-proto-files")],
  enums: String,
  defaults: true,
})["zitadel.management.v1.ManagementService"] as grpc.ServiceDefinition;

const credentials = url.protocol === "https:" ? grpc.credentials.createSsl() : grpc.credentials.createInsecure();
const client = new (grpc.makeGenericClientConstructor(service, "ManagementService"))(url.host, credentials);
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${token}`);

/** Calls an RPC by its name. Turns the callback of grpc-js into a promise. */
function call(rpc: string, request: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    client[rpc]?.(request, metadata, (error: grpc.ServiceError | null, response: Record<string, unknown>) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}

try {
  await call("AddSecondFactorToLoginPolicy", { type: "SECOND_FACTOR_TYPE_OTP_SMS" });
  console.log("added");
} catch (error) {
  // The text ends with an id. The status details have it too, in a zitadel.v1.ErrorDetail.
  const { code, details } = error as grpc.ServiceError;
  console.log(`not added: ${grpc.status[code]}: ${details}`);
}
const { result } = await call("ListLoginPolicySecondFactors", {});
console.log(`second factors: ${(result as string[]).join(", ")}`);
client.close();
