import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoginPolicyService } from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { launchBrowser } from "./browser.ts";
import { bundlePageScript, openOrigin } from "./origin.ts";
import type { PageWatch, PageWatchAnswer, WatchClient } from "./page/watch.ts";

const clients: readonly WatchClient[] = ["gRPC-Web", "Connect", "server-sent events"];
const { browser, missing } = await launchBrowser();

describe.skipIf(isLeftOut(missing))("a page of another origin", () => {
  let origin: Awaited<ReturnType<typeof openOrigin>>;
  let server: TestServer;

  beforeAll(async () => {
    origin = await openOrigin(await bundlePageScript("watch.ts"));
    server = await startTestServer({ corsOrigins: [origin.origin] });
  });
  afterAll(async () => {
    origin.close();
    await browser?.close();
    await server.close({ graceMs: 0 });
  });

  async function change(forceMfa: boolean): Promise<void> {
    const client = createClient(LoginPolicyService, createGrpcTransport({ baseUrl: server.url }));
    const loginPolicy = { name: "instance/loginPolicy", forceMfa };
    await client.updateLoginPolicy({ loginPolicy }, { headers: { authorization: `Bearer ${server.adminToken}` } });
  }

  it.each(clients)("watches policies by %s, gets each change as it is made, and resumes", async (client) => {
    if (browser === undefined) throw new Error("no browser");
    const page = await browser.newPage();
    // The change is made when the checkpoint is there: it comes as part of an answer that has begun.
    await page.exposeFunction("answered", async ({ kind }: PageWatchAnswer) => {
      if (kind === "checkpoint") await change(true);
    });
    await page.goto(origin.origin);
    const watch = (wanted: Partial<PageWatch>, count: number) =>
      page.evaluate(
        ([one, number]) =>
          (globalThis as unknown as { pageClients: typeof import("./page/watch.ts") }).pageClients.watch(one, number),
        [{ url: server.url, token: server.adminToken, client, ...wanted }, count] as const,
      );
    await change(false);
    const [first, second] = await watch({}, 2);
    expect([first?.kind, second?.kind]).toEqual(["checkpoint", "change"]);
    const resumed = await watch({ resumeToken: first?.resumeToken ?? "" }, 2);
    expect(resumed).toEqual([first, second]);
    await page.close();
  });
});
