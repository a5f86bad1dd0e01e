// A test of a program that uses ZITADEL's login-policy API. The server starts inside the test, on a free port and with a
// store in memory, in well under a second; every test can have its own. Run it with
//
//   npm exec -- node --test examples/test-against-the-api.ts
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServerTransport } from "@zitadel/client/node";
import { createManagementServiceClient } from "@zitadel/client/v1";
import { SecondFactorType } from "@zitadel/proto/zitadel/policy_pb.js";
// In your project, which has the package from npm: import { type Server, startServer } from "portcullis";
import { type Server, startServer } from "../src/index.ts";

let server: Server;

before(async () => {
  server = await startServer();
});
after(() => server.close());

await test("adds a second factor to the organization", async () => {
  // ZITADEL's own client, which needs to know nothing but a URL and a token.
  const transport = createServerTransport(server.adminToken, { baseUrl: server.url });
  const management = createManagementServiceClient(transport);

  // This is the place for the program that is tested.
  await management.addSecondFactorToLoginPolicy({ type: SecondFactorType.OTP_SMS });

  const { result } = await management.listLoginPolicySecondFactors({});
  assert.deepEqual(result, [SecondFactorType.OTP, SecondFactorType.U2F, SecondFactorType.OTP_SMS]);
});
