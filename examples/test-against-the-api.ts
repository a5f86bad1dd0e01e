// A test of a program that uses ZITADEL's login-policy API. The server starts inside the test, on a free port and with a
// store in memory. It starts in well under a second, so every test can have its own. Run it with
//
//   npm exec -- node --test examples/test-against-the-api.ts
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServerTransport } from "@zitadel/client/node";
import { createManagementServiceClient } from "@zitadel/client/v1";
import { SecondFactorType } from "@zitadel/proto/zitadel/policy_pb.js";
// In your project, with the package from npm: import { type Server, startServer } from "portcullis";
import { type Server, startServer } from "../src/index.ts";

let server: Server;

before(async () => {
  server = await startServer();
});
after(() => server.close());

await test("adds a second factor to the organization", async () => {
  // ZITADEL's own client needs only a URL and a token.
  const transport = createServerTransport(server.adminToken, { baseUrl: server.url });
  const management = createManagementServiceClient(transport);

  // Call your program here instead.
  await management.addSecondFactorToLoginPolicy({ type: SecondFactorType.OTP_SMS });

  const { result } = await management.listLoginPolicySecondFactors({});
  assert.deepEqual(result, [SecondFactorType.OTP, SecondFactorType.U2F, SecondFactorType.OTP_SMS]);
});
