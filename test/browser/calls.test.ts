import { readFileSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { launchBrowser } from "./browser.ts";
import { bundlePageScript, openOrigin } from "./origin.ts";
import type { ClientName, PageAnswer, PageCall } from "./page/clients.ts";

const fixture = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8");
const ports = [
  { port: "plaintext", httpVersion: "HTTP/1.1", options: {} },
  {
    port: "TLS",
    httpVersion: "HTTP/2.0",
    options: { tls: { cert: fixture("localhost.cert.pem"), key: fixture("localhost.key.pem") } },
  },
];
const clients: readonly ClientName[] = [
  "gRPC-Web text",
  "gRPC-Web binary",
  "gRPC-Web by connect-web",
  "gRPC-Web by @zitadel/client",
  "Connect JSON",
  "Connect binary",
  "REST",
];
const otp = "SECOND_FACTOR_TYPE_OTP";
const u2f = "SECOND_FACTOR_TYPE_U2F";
const sms = "SECOND_FACTOR_TYPE_OTP_SMS";

const { browser, missing } = await launchBrowser();

describe.skipIf(isLeftOut(missing))("a page of another origin", () => {
  let own: Awaited<ReturnType<typeof openOrigin>>;
  let foreign: typeof own;
  let context: BrowserContext;
  let page: Page;
  let server: TestServer | undefined;

  beforeAll(async () => {
    const script = await bundlePageScript();
    [own, foreign] = await Promise.all([openOrigin(script), openOrigin(script)]);
  });
  beforeEach(async () => {
    if (browser === undefined) throw new Error("no browser");
    context = await browser.newContext({ ignoreHTTPSErrors: true });
    page = await context.newPage();
  });
  afterEach(async () => {
    await context.close();
    await server?.close();
    server = undefined;
  });
  afterAll(async () => {
    own.close();
    foreign.close();
    await browser?.close();
  });

  /** Starts a server that allows these origins. */
  async function start(options: Parameters<typeof startTestServer>[0]): Promise<TestServer> {
    server = await startTestServer(options);
    return server;
  }

  const callFromPage = (wanted: PageCall): Promise<PageAnswer> =>
    page.evaluate(
      (one) => (globalThis as unknown as { pageClients: typeof import("./page/clients.ts") }).pageClients.call(one),
      wanted,
    );

  /** The factors as the server has them, asked without a browser. */
  async function factorsOf({ directory, url, adminToken }: TestServer, organization?: string): Promise<unknown> {
    const [first] = await directory.listOrganizations();
    const answer = await page.request.post(`${url}/management/v1/policies/login/second_factors/_search`, {
      headers: { authorization: `Bearer ${adminToken}`, "x-zitadel-orgid": organization ?? first?.id ?? "" },
    });
    return ((await answer.json()) as { result: unknown }).result;
  }

  describe.each(ports)("over $port", ({ httpVersion, options }) => {
    describe.each(clients)("%s", (client) => {
      it("lists the factors", async () => {
        const { url, adminToken: token } = await start({ ...options, corsOrigins: [own.origin] });
        await page.goto(own.origin);
        const sent = page.waitForResponse((response) => response.request().method() === "POST");
        expect(await callFromPage({ url, token, client })).toEqual({ kind: "listed", factors: [otp, u2f] });
        expect(await (await sent).httpVersion()).toBe(httpVersion);
      });

      it("adds and removes a factor, and reads whether a policy was created", async () => {
        const { url, adminToken: token } = await start({ ...options, corsOrigins: [own.origin] });
        await page.goto(own.origin);
        expect(await callFromPage({ url, token, client, add: sms })).toEqual({ kind: "written", policy: "created" });
        expect(await callFromPage({ url, token, client, remove: otp })).toEqual({ kind: "written", policy: undefined });
        expect(await callFromPage({ url, token, client })).toEqual({ kind: "listed", factors: [u2f, sms] });
      });

      it("names an organization in a header", async () => {
        const started = await start({ ...options, corsOrigins: [own.origin] });
        const { url, adminToken: token } = started;
        const { id } = await started.directory.addOrganization("Acme");
        await page.goto(own.origin);
        await callFromPage({ url, token, client, organization: id, add: sms });
        expect(await factorsOf(started, id)).toEqual([otp, u2f, sms]);
        expect(await factorsOf(started)).toEqual([otp, u2f]);
      });

      it("reads the code, text and detail of a refused call", async () => {
        const { url, adminToken: token } = await start({ ...options, corsOrigins: [own.origin] });
        await page.goto(own.origin);
        await callFromPage({ url, token, client, add: sms });
        expect(await callFromPage({ url, token, client, add: sms })).toEqual({
          kind: "refused",
          code: Code.AlreadyExists,
          message: "Multifactor already exists (Org-2B0ps)",
          detail: { id: "Org-2B0ps", message: "Multifactor already exists" },
        });
      });

      it("reads why a token is not accepted", async () => {
        const { url } = await start({ ...options, corsOrigins: [own.origin] });
        await page.goto(own.origin);
        expect(await callFromPage({ url, token: "wrong", client })).toMatchObject({
          kind: "refused",
          code: Code.Unauthenticated,
          message: expect.stringContaining("(AUTH-7fs1e)"),
          detail: { id: "AUTH-7fs1e" },
        });
      });

      it("reads that there is no token", async () => {
        const { url } = await start({ ...options, corsOrigins: [own.origin] });
        await page.goto(own.origin);
        const answer = await callFromPage({ url, client });
        // ZITADEL's client sends "Bearer" all the same, which is a bad header and has an id; a missing one has none.
        const isSent = client === "gRPC-Web by @zitadel/client";
        expect(answer).toEqual({
          kind: "refused",
          code: Code.Unauthenticated,
          message: isSent ? "invalid auth header (AUTH-7fs1e)" : "auth header missing",
          detail: isSent ? { id: "AUTH-7fs1e", message: "invalid auth header" } : undefined,
        });
      });

      // That answer has no body: its status is in the headers.
      if (client.startsWith("gRPC-Web")) {
        it("reads that an RPC is not served", async () => {
          const { url, adminToken: token } = await start({ ...options, corsOrigins: [own.origin] });
          await page.goto(own.origin);
          expect(await callFromPage({ url, token, client, unserved: true })).toEqual({
            kind: "refused",
            code: Code.Unimplemented,
            message:
              "unknown method GetMyOrg of service zitadel.management.v1.ManagementService: the service has no such method here",
            detail: undefined,
          });
        });
      }

      it("changes nothing where its origin is not allowed", async () => {
        const started = await start({ ...options, corsOrigins: [own.origin] });
        const { url, adminToken: token } = started;
        const console = page.waitForEvent("console");
        await page.goto(foreign.origin);
        expect(await callFromPage({ url, token, client, add: sms })).toMatchObject({ kind: "unreadable" });
        expect((await console).text()).toMatch(/blocked by CORS policy: Response to preflight request/);
        expect(await factorsOf(started)).toEqual([otp, u2f]);
      });
    });
  });

  it("may call from anywhere where the server allows all origins", async () => {
    const { url, adminToken: token } = await start({ corsOrigins: ["*"] });
    await page.goto(foreign.origin);
    const answer = await callFromPage({ url, token, client: "gRPC-Web text", add: sms });
    expect(answer).toEqual({ kind: "written", policy: "created" });
  });

  it.each([
    [
      "that trace and name it",
      {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: "a=b",
        "x-request-id": "page-1",
      },
      200,
    ],
    ["that the server does not know", { "x-of-the-page": "1" }, undefined],
  ])("calls with headers %s", async (_, headers, status) => {
    const { url, adminToken } = await start({ corsOrigins: [own.origin] });
    await page.goto(own.origin);
    const answered = page.evaluate(
      (init) =>
        fetch(init.url, init).then(
          (answer) => answer.status,
          () => undefined,
        ),
      { url: `${url}/management/v1/policies/login`, headers: { ...headers, authorization: `Bearer ${adminToken}` } },
    );
    expect(await answered).toBe(status);
  });

  it("changes nothing where the server allows no origin", async () => {
    const started = await start({ corsOrigins: [] });
    await page.goto(own.origin);
    const wanted: PageCall = { url: started.url, token: started.adminToken, client: "REST", add: sms };
    expect(await callFromPage(wanted)).toMatchObject({ kind: "unreadable" });
    expect(await factorsOf(started)).toEqual([otp, u2f]);
  });

  it("cannot read the answer to a request that browsers send without asking", async () => {
    const { url } = await start({ corsOrigins: [own.origin] });
    await page.goto(foreign.origin);
    const console = page.waitForEvent("console");
    const read = page.evaluate(
      (path) =>
        fetch(path, { method: "POST", body: "{}" }).then(
          () => true,
          () => false,
        ),
      `${url}/management/v1/policies/login/second_factors`,
    );
    expect(await read).toBe(false);
    expect((await console).text()).toMatch(/blocked by CORS policy: No 'Access-Control-Allow-Origin' header/);
  });
});
