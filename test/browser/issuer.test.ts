import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import * as openid from "openid-client";
import type { BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken } from "../../src/auth/token.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { launchBrowser } from "./browser.ts";
import { bundlePageScript } from "./origin.ts";
import type { PageAnswer, PageCall } from "./page/clients.ts";

const fixture = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8");
const certificate = fixture("localhost.cert.pem");
const tls = { cert: certificate, key: fixture("localhost.key.pem") };
const ports = [
  { port: "plaintext", options: {} },
  { port: "TLS", options: { tls } },
];
const otp = "SECOND_FACTOR_TYPE_OTP";
const u2f = "SECOND_FACTOR_TYPE_U2F";
const sms = "SECOND_FACTOR_TYPE_OTP_SMS";
const userName = "ada";
const password = "correct horse battery";

/** A web application: every path is its page, except `/onward`, which leads on to where its query says. */
async function openApplication(script: string): Promise<{ readonly origin: string; close(): void }> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "", "http://127.0.0.1");
    if (url.pathname === "/clients.js") response.setHeader("content-type", "text/javascript").end(script);
    else if (url.pathname === "/onward")
      response.writeHead(303, { location: `${url.searchParams.get("to")}${url.search}` }).end();
    else {
      response.setHeader("content-type", "text/html");
      response.end(
        '<!doctype html><link rel="icon" href="data:,"><title>Application</title><script src=/clients.js></script>',
      );
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
type Origin = Awaited<ReturnType<typeof openApplication>>;

const { browser, missing } = await launchBrowser();

describe.skipIf(isLeftOut(missing))("the built-in issuer in a browser", () => {
  let passwordHash: string;
  let own: Origin;
  let foreign: Origin;
  let context: BrowserContext;
  let page: Page;
  let server: TestServer;
  let clientId: string;
  let redirectUri: string;
  /** What the browser complained of: errors of the console, among them those of CSP, and exceptions. */
  let complaints: string[];

  const authorities = getCACertificates();
  beforeAll(async () => {
    setDefaultCACertificates([...authorities, certificate]);
    passwordHash = await hashPassword(password);
    const script = await bundlePageScript();
    [own, foreign] = await Promise.all([openApplication(script), openApplication(script)]);
    redirectUri = `${own.origin}/callback`;
  });
  beforeEach(() => openContext());
  afterEach(async () => {
    await context.close();
    await server.close();
    expect(server.failures).toEqual([]);
  });
  afterAll(async () => {
    setDefaultCACertificates(authorities);
    own.close();
    foreign.close();
    await browser?.close();
  });

  /** A browser without cookies, and a page that is watched. */
  async function openContext(options: BrowserContextOptions = {}): Promise<void> {
    if (browser === undefined) throw new Error("no browser");
    await context?.close();
    context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    page = await context.newPage();
    page.setDefaultTimeout(15_000);
    complaints = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
  }

  /** Starts a server with the user and a public application; the application's pages may call it. */
  async function start(options: TestServerOptions = {}): Promise<void> {
    server = await startTestServer({ issuer: {}, corsOrigins: [own.origin], ...options });
    await server.directory.addUser({ name: userName, role: "ORG_OWNER" });
    await server.credentials.setPassword({ userName, hash: passwordHash });
    clientId = await server.clients.add({ name: "Console", redirectUris: [redirectUri] });
  }

  async function discover(id = clientId, authentication = openid.None()): Promise<openid.Configuration> {
    return openid.discovery(new URL(server.url), id, undefined, authentication, {
      execute: [openid.allowInsecureRequests, openid.enableNonRepudiationChecks],
    });
  }

  /** A sign-in as an application begins it: where it sends the browser, and what it keeps. */
  async function begin(
    config: openid.Configuration,
    more: Readonly<Record<string, string>> = {},
  ): Promise<{ readonly url: string; readonly checks: openid.AuthorizationCodeGrantChecks }> {
    const pkceCodeVerifier = openid.randomPKCECodeVerifier();
    const expectedState = openid.randomState();
    const expectedNonce = openid.randomNonce();
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: `openid profile ${apiScope}`,
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: "S256",
      state: expectedState,
      nonce: expectedNonce,
      ...more,
    });
    return { url: url.href, checks: { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true } };
  }

  const userNameField = () => page.getByLabel("User name", { exact: true });
  const passwordField = () => page.getByLabel("Password", { exact: true });
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const focused = (): Promise<string> => page.evaluate("document.activeElement.name ?? document.activeElement.tagName");

  /** The focus is set when the page is painted, which may be after it was loaded. */
  const waitForFocus = (name: string) => page.locator(`[name="${name}"]:focus`).waitFor();

  async function fillIn(secret = password): Promise<void> {
    await userNameField().fill(userName);
    await passwordField().fill(secret);
    await button("Sign in").click();
  }

  /** Waits until the application has the browser again. */
  async function returned(to = redirectUri): Promise<URL> {
    await page.waitForURL((url) => url.href.startsWith(to));
    return new URL(page.url());
  }

  /** The whole way from the application to the application. */
  async function signIn(config: openid.Configuration, more: Readonly<Record<string, string>> = {}) {
    const { url, checks } = await begin(config, more);
    await page.goto(url);
    await fillIn();
    if (more["scope"]?.includes("offline_access")) await button("Allow").click();
    return openid.authorizationCodeGrant(config, await returned(), checks);
  }

  const callFromPage = (wanted: PageCall): Promise<PageAnswer> =>
    page.evaluate(
      (one) => (globalThis as unknown as { pageClients: typeof import("./page/clients.ts") }).pageClients.call(one),
      wanted,
    );

  interface FetchFromPage {
    readonly url: string;
    readonly form?: Readonly<Record<string, string>>;
    readonly token?: string;
  }

  /** Fetches as the page's own script does. Resolves to undefined where the browser keeps the answer to itself. */
  const fetchFromPage = (wanted: FetchFromPage) =>
    page.evaluate(async ({ url, form, token }) => {
      try {
        const answer = await fetch(url, {
          ...(form && { method: "POST", body: new URLSearchParams(form) }),
          ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
        });
        return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
      } catch {
        return undefined;
      }
    }, wanted);

  const offline = { scope: `openid offline_access ${apiScope}` };

  describe.each(ports)("over $port", ({ options }) => {
    it("signs a user in, whose page then calls the API with the token", async () => {
      await start(options);
      const config = await discover();
      const { url, checks } = await begin(config);
      await page.goto(url);
      expect(new URL(page.url()).pathname).toMatch(/^\/sign-in\//);
      await fillIn();
      const back = await returned();
      expect([...back.searchParams.keys()].sort()).toEqual(["code", "iss", "state"]);
      const tokens = await openid.authorizationCodeGrant(config, back, checks);
      const { id } = (await server.directory.listUsers()).find(({ name }) => name === userName) ?? { id: "" };
      expect(tokens.claims()).toMatchObject({ iss: server.url, aud: clientId, sub: id, nonce: checks.expectedNonce });
      expect(tokens).toMatchObject({ token_type: "bearer", expires_in: 3600 });
      expect(tokens.refresh_token).toBeUndefined();

      const call = { url: server.url, token: tokens.access_token };
      expect(await callFromPage({ ...call, client: "gRPC-Web text", add: sms })).toEqual({
        kind: "written",
        policy: "created",
      });
      expect(await callFromPage({ ...call, client: "REST" })).toEqual({ kind: "listed", factors: [otp, u2f, sms] });
      expect(complaints).toEqual([]);
      expect(await openid.fetchUserInfo(config, tokens.access_token, id)).toEqual({
        sub: id,
        name: userName,
        preferred_username: userName,
      });
    });

    it("refreshes, and refuses a refresh token that was used before with all that came of it", async () => {
      await start(options);
      const config = await discover();
      const first = await signIn(config, offline);
      const second = await openid.refreshTokenGrant(config, first.refresh_token ?? "");
      expect(second.refresh_token).not.toBe(first.refresh_token);
      expect(second.claims()?.sub).toBe(first.claims()?.sub);
      const call = { url: server.url, token: second.access_token, client: "REST" } as const;
      expect(await callFromPage(call)).toMatchObject({ kind: "listed" });
      await expect(openid.refreshTokenGrant(config, first.refresh_token ?? "")).rejects.toMatchObject({
        error: "invalid_grant",
      });
      expect(await callFromPage(call)).toMatchObject({ kind: "refused", detail: { id: "AUTH-7fs1e" } });
      await expect(openid.refreshTokenGrant(config, second.refresh_token ?? "")).rejects.toMatchObject({
        error: "invalid_grant",
      });
    });

    it("signs out, and asks for the password the next time", async () => {
      await start(options);
      const config = await discover();
      const { id_token: idToken = "" } = await signIn(config);
      const { url } = await begin(config);
      await page.goto(url);
      await returned();

      const state = openid.randomState();
      const end = openid.buildEndSessionUrl(config, {
        id_token_hint: idToken,
        post_logout_redirect_uri: redirectUri,
        state,
      });
      await page.goto(end.href);
      expect(await page.title()).toBe("Sign out?");
      await button("Sign out").click();
      expect((await returned()).searchParams.get("state")).toBe(state);
      expect(complaints).toEqual([]);
      await page.goto((await begin(config)).url);
      expect(await page.title()).toBe("Sign in to Console");
    });
  });

  describe("the sign-in page", () => {
    it("can be used by what reads it aloud", async () => {
      await start();
      await page.goto((await begin(await discover())).url);
      expect(await page.title()).toBe("Sign in to Console");
      expect(await page.locator("html").getAttribute("lang")).toBe("en");
      expect(await page.locator("body").ariaSnapshot()).toBe(
        [
          "- main:",
          '  - heading "Sign in" [level=1]',
          "  - paragraph:",
          "    - text: to continue to",
          "    - strong: Console",
          "  - text: User name",
          '  - textbox "User name"',
          "  - text: Password",
          '  - textbox "Password"',
          '  - button "Sign in"',
        ].join("\n"),
      );
      await waitForFocus("username");
      expect(await userNameField().getAttribute("autocomplete")).toBe("username");
      expect(await passwordField().getAttribute("autocomplete")).toBe("current-password");
      expect(await passwordField().getAttribute("type")).toBe("password");
      expect(complaints).toEqual([]);
    });

    it("says what was wrong, keeps the name and puts the focus on the password", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config);
      await page.goto(url);
      await fillIn("wrong password");
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.textContent()).toBe("The user name or the password is wrong.");
      expect(await page.title()).toBe("Error: Sign in to Console");
      expect(await userNameField().inputValue()).toBe(userName);
      expect(await passwordField().inputValue()).toBe("");
      await waitForFocus("password");
      for (const field of [userNameField(), passwordField()]) {
        expect(await field.getAttribute("aria-invalid")).toBe("true");
        const describedBy = await field.getAttribute("aria-describedby");
        expect(await page.locator(`#${describedBy}`).textContent()).toBe(await alert.textContent());
      }
      // The browser logs every page that answers with an error.
      expect(complaints.filter((text) => !/the server responded with a status of 401/.test(text))).toEqual([]);
      await passwordField().fill(password);
      await button("Sign in").click();
      expect((await openid.authorizationCodeGrant(config, await returned(), checks)).access_token).not.toBe("");
    });

    it("answers the same for a user that there is not, and shows what was typed as text", async () => {
      await start();
      await page.goto((await begin(await discover())).url);
      const markup = `"><img src=x onerror="document.title='owned'">`;
      await userNameField().fill(markup);
      await passwordField().fill(password);
      await button("Sign in").click();
      expect(await page.getByRole("alert").textContent()).toBe("The user name or the password is wrong.");
      expect(await userNameField().inputValue()).toBe(markup);
      expect(await page.title()).toBe("Error: Sign in to Console");
      expect(await page.locator("img").count()).toBe(0);
    });

    it("takes a suggested user name and puts the focus on the password", async () => {
      await start();
      const config = await discover();
      await page.goto((await begin(config, { login_hint: userName })).url);
      expect(await userNameField().inputValue()).toBe(userName);
      await waitForFocus("password");
    });

    it("does not send a form that is not filled in", async () => {
      await start();
      await page.goto((await begin(await discover())).url);
      await button("Sign in").click();
      await waitForFocus("username");
      expect(await page.getByRole("alert").count()).toBe(0);
    });

    it("works without JavaScript, with the consent after it", async () => {
      await openContext({ javaScriptEnabled: false });
      await start();
      const config = await discover();
      const { url, checks } = await begin(config, offline);
      await page.goto(url);
      await fillIn("wrong password");
      await page.getByRole("alert").waitFor();
      await passwordField().fill(password);
      await button("Sign in").click();
      await button("Allow").click();
      const tokens = await openid.authorizationCodeGrant(config, await returned(), checks);
      expect(tokens.refresh_token).not.toBe("");
      const end = openid.buildEndSessionUrl(config, {
        id_token_hint: tokens.id_token ?? "",
        post_logout_redirect_uri: redirectUri,
      });
      await page.goto(end.href);
      await button("Sign out").click();
      await returned();
    });

    it("works by keyboard alone, with the consent and the way out", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config, offline);
      await page.goto(url);
      await waitForFocus("username");
      await page.keyboard.type(userName);
      await page.keyboard.press("Tab");
      await page.keyboard.type("wrong password");
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe("Sign in");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").waitFor();
      await waitForFocus("password");
      await page.keyboard.type(password);
      await page.keyboard.press("Enter");

      await button("Allow").waitFor();
      expect(await focused()).toBe("BODY");
      await page.keyboard.press("Enter"); // a key that is still held from the page before allows nothing
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe("Allow");
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe("Cancel");
      await page.keyboard.press("Shift+Tab");
      await page.keyboard.press("Enter");
      const { id_token: idToken = "" } = await openid.authorizationCodeGrant(config, await returned(), checks);

      const end = openid.buildEndSessionUrl(config, { id_token_hint: idToken, post_logout_redirect_uri: redirectUri });
      await page.goto(end.href);
      await page.keyboard.press("Tab");
      expect(await page.evaluate("document.activeElement.textContent")).toBe("Sign out");
      await page.keyboard.press("Enter");
      await returned();
    });

    it("shows where the focus is, and fits a narrow window", async () => {
      await start();
      await page.setViewportSize({ width: 320, height: 480 });
      await page.goto((await begin(await discover())).url);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(320);
      await waitForFocus("username");
      for (const name of ["username", "password", ""]) {
        expect(await focused()).toBe(name);
        expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
        await page.keyboard.press("Tab");
      }
    });

    it("cannot be shown in a frame, of another origin or of its own", async () => {
      await start();
      const config = await discover();
      for (const origin of [foreign.origin, own.origin]) {
        await page.goto(origin);
        const frame = await embed((await begin(config)).url);
        expect(frame).toEqual({ url: "chrome-error://chromewebdata/", fields: 0 });
      }
      expect(complaints.join("\n")).toMatch(/frame-ancestors 'none'/);
    });

    it("cannot be shown in a frame while someone is signed in, nor can consent and sign-out", async () => {
      await start();
      const config = await discover();
      const { id_token: idToken = "" } = await signIn(config);
      const end = openid.buildEndSessionUrl(config, { id_token_hint: idToken });
      for (const url of [
        (await begin(config, offline)).url,
        (await begin(config, { prompt: "login" })).url,
        end.href,
      ]) {
        await page.goto(foreign.origin);
        expect(await embed(url)).toEqual({ url: "chrome-error://chromewebdata/", fields: 0 });
      }
    });

    /** Puts a frame into the page. Resolves, once it has loaded, to where it is and how many fields and buttons it shows. */
    async function embed(src: string) {
      await page.evaluate(
        `new Promise((resolve) => {
          const frame = document.createElement("iframe");
          frame.onload = resolve;
          frame.src = ${JSON.stringify(src)};
          document.body.append(frame);
        })`,
      );
      const frame = page.frames().find((one) => one !== page.mainFrame());
      return { url: frame?.url(), fields: await frame?.locator("input, button, form").count() };
    }

    it("refuses a form that another site sends to it", async () => {
      await start();
      await page.goto((await begin(await discover())).url);
      const action = page.url();
      await page.goto(foreign.origin);
      const answered = page.waitForResponse((response) => response.request().method() === "POST");
      await page.evaluate(
        `{
          const form = document.createElement("form");
          form.method = "post";
          form.action = ${JSON.stringify(action)};
          form.innerHTML = '<input name="username" value="${userName}"><input name="password" value="${password}">';
          document.body.append(form);
          form.submit();
        }`,
      );
      expect((await answered).status()).toBeGreaterThanOrEqual(400);
      await page.getByRole("heading").waitFor();
      expect(page.url()).toBe(action);
    });

    it("ends when the sign-in is over: going back does not sign anyone in again", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config);
      await page.goto(url);
      const signInUrl = page.url();
      await fillIn();
      await openid.authorizationCodeGrant(config, await returned(), checks);
      const answer = await page.goto(signInUrl);
      expect(answer?.status()).toBe(400);
      expect(await page.title()).toBe("This sign-in has ended");
    });
  });

  describe("the way back to the application", () => {
    it("leads to another origin and port, and on to further pages of it", async () => {
      await start();
      const onward = `${foreign.origin}/onward?to=${encodeURIComponent(`${foreign.origin}/home`)}`;
      clientId = await server.clients.add({ name: "Elsewhere", redirectUris: [onward] });
      const config = await discover();
      await page.goto((await begin(config, { redirect_uri: onward })).url);
      await fillIn();
      const back = await returned(`${foreign.origin}/home`);
      expect(back.searchParams.get("code")).not.toBeNull();
      expect(complaints).toEqual([]);
    });

    it("leads to another port of this machine, which installed applications cannot know before", async () => {
      await start();
      const uri = `${foreign.origin}/callback`;
      const config = await discover();
      const { url, checks } = await begin(config, { redirect_uri: uri });
      await page.goto(url);
      await fillIn();
      await openid.authorizationCodeGrant(config, await returned(uri), checks);
      expect(complaints).toEqual([]);
    });

    it("leads on to another origin, where the application has its pages", async () => {
      await start();
      const onward = `${own.origin}/onward?to=${encodeURIComponent(`${foreign.origin}/home`)}`;
      clientId = await server.clients.add({ name: "Behind", redirectUris: [onward] });
      const config = await discover();
      await page.goto((await begin(config, { redirect_uri: onward })).url);
      await fillIn();
      await returned(`${foreign.origin}/home`);
      expect(complaints).toEqual([]);
    });

    it("leads back by a form where the application wants one", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config, { response_mode: "form_post" });
      await page.goto(url);
      const posted = page.waitForRequest((request) => request.url() === redirectUri && request.method() === "POST");
      await fillIn();
      const body = (await posted).postData() ?? "";
      const back = new Request(redirectUri, {
        method: "POST",
        body,
        headers: { "content-type": "application/x-www-form-urlencoded" },
      });
      expect((await openid.authorizationCodeGrant(config, back, checks)).access_token).not.toBe("");
      await returned();
      expect(complaints).toEqual([]);
    });

    it("leads to localhost by name", async () => {
      await start();
      const uri = `${own.origin.replace("127.0.0.1", "localhost")}/callback`;
      clientId = await server.clients.add({ name: "By name", redirectUris: [uri] });
      const config = await discover();
      const { url, checks } = await begin(config, { redirect_uri: uri });
      await page.goto(url);
      await fillIn();
      await openid.authorizationCodeGrant(config, await returned(uri), checks);
      expect(complaints).toEqual([]);
    });

    it("leads to an application's own scheme", async () => {
      await start();
      const uri = "com.example.app:/callback";
      clientId = await server.clients.add({ name: "Installed", redirectUris: [uri] });
      const config = await discover();
      await page.goto((await begin(config, { redirect_uri: uri })).url);
      const answered = page.waitForResponse((response) => response.headers()["location"]?.startsWith(uri) === true);
      await fillIn();
      expect((await answered).status()).toBe(303);
      expect(complaints.filter((text) => /Content Security Policy|form-action/.test(text))).toEqual([]);
    });

    it("is not taken to a URI that was not registered", async () => {
      await start();
      const config = await discover();
      for (const uri of [
        `${foreign.origin}/other`,
        `${own.origin}/other`,
        `${redirectUri}?x`,
        "https://app.example/callback",
      ]) {
        const answer = await page.goto((await begin(config, { redirect_uri: uri })).url);
        expect(answer?.status()).toBe(400);
        expect(await page.title()).toBe("This request failed");
        expect(new URL(page.url()).origin).toBe(server.url);
      }
    });

    it("is immediate while the user is signed in, unless the application wants the password", async () => {
      await start();
      const config = await discover();
      await signIn(config);
      const { url, checks } = await begin(config);
      await page.goto(url);
      const tokens = await openid.authorizationCodeGrant(config, await returned(), checks);
      expect(tokens.access_token).not.toBe("");
      await page.goto((await begin(config, { prompt: "login" })).url);
      expect(await page.title()).toBe("Sign in to Console");
    });
  });

  describe("the consent to offline access", () => {
    it("is asked for, and given", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config, offline);
      await page.goto(url);
      await fillIn();
      await button("Allow").waitFor();
      expect(await page.title()).toBe("Allow Console to stay connected?");
      expect(await page.locator("body").ariaSnapshot()).toBe(
        [
          "- main:",
          '  - heading "Stay connected?" [level=1]',
          "  - paragraph:",
          "    - strong: Console",
          "    - text: wants to act for you even while you are not using it.",
          "  - paragraph:",
          "    - text: You are signed in as",
          `    - strong: ${userName}`,
          "    - text: .",
          '  - button "Allow"',
          '  - button "Cancel"',
        ].join("\n"),
      );
      await button("Allow").click();
      const tokens = await openid.authorizationCodeGrant(config, await returned(), checks);
      expect(tokens.refresh_token).toMatch(/.+/);
      expect(complaints).toEqual([]);
    });

    it("is asked for, and refused, which the application is told", async () => {
      await start();
      const config = await discover();
      const { url, checks } = await begin(config, offline);
      await page.goto(url);
      await fillIn();
      await button("Cancel").click();
      const back = await returned();
      expect(back.searchParams.has("code")).toBe(false);
      expect(back.searchParams.get("state")).toBe(checks.expectedState);
      await expect(openid.authorizationCodeGrant(config, back, checks)).rejects.toMatchObject({
        error: "access_denied",
      });
      expect(complaints).toEqual([]);
      // The user is signed in all the same, and the application may go on without.
      const again = await begin(config);
      await page.goto(again.url);
      const tokens = await openid.authorizationCodeGrant(config, await returned(), again.checks);
      expect(tokens.refresh_token).toBeUndefined();
    });

    it("is asked for each time", async () => {
      await start();
      const config = await discover();
      await signIn(config, offline);
      await page.goto((await begin(config, offline)).url);
      expect(await page.title()).toBe("Allow Console to stay connected?");
    });
  });

  describe("a single-page application", () => {
    /** Signs in until the page has its code. Resolves to the form that exchanges it. */
    async function getCode(more: Readonly<Record<string, string>> = {}): Promise<Readonly<Record<string, string>>> {
      const { url, checks } = await begin(await discover(), more);
      await page.goto(url);
      await fillIn();
      const back = await returned();
      return {
        grant_type: "authorization_code",
        client_id: clientId,
        redirect_uri: redirectUri,
        code: back.searchParams.get("code") ?? "",
        code_verifier: checks.pkceCodeVerifier ?? "",
      };
    }

    // Whoever may use the issuer is who was registered there, whatever pages may call the API.
    it.each<readonly [string, () => readonly string[]]>([
      ["no origin", () => []],
      ["its origin", () => [own.origin]],
      ["another origin", () => ["https://other.example"]],
    ])("exchanges its code by itself where the API allows %s", async (_, corsOrigins) => {
      await start({ corsOrigins: corsOrigins() });
      const form = await getCode();
      const metadata = await fetchFromPage({ url: `${server.url}/.well-known/openid-configuration` });
      expect(metadata).toMatchObject({ status: 200, body: { issuer: server.url } });
      expect(await fetchFromPage({ url: String(metadata?.body["jwks_uri"]) })).toMatchObject({ status: 200 });
      const answer = await fetchFromPage({ url: String(metadata?.body["token_endpoint"]), form });
      expect(answer).toMatchObject({ status: 200, body: { access_token: expect.any(String) } });
      // With an Authorization header, so that the browser asks first.
      const token = String(answer?.body["access_token"]);
      const userinfo = await fetchFromPage({ url: String(metadata?.body["userinfo_endpoint"]), token });
      expect(userinfo).toMatchObject({ status: 200, body: { preferred_username: userName } });
      expect(complaints).toEqual([]);
    });

    it("calls the API with its token over gRPC-Web and REST", async () => {
      await start();
      const answer = await fetchFromPage({ url: `${server.url}/oauth/v2/token`, form: await getCode() });
      const call = { url: server.url, token: String(answer?.body["access_token"]) };
      expect(await callFromPage({ ...call, client: "gRPC-Web binary", add: sms })).toMatchObject({ kind: "written" });
      expect(await callFromPage({ ...call, client: "REST" })).toEqual({ kind: "listed", factors: [otp, u2f, sms] });
    });

    it("reads why a code is refused", async () => {
      await start();
      const form = { ...(await getCode()), code_verifier: openid.randomPKCECodeVerifier() };
      expect(await fetchFromPage({ url: `${server.url}/oauth/v2/token`, form })).toMatchObject({
        status: 400,
        body: { error: "invalid_grant" },
      });
    });

    it("refreshes and revokes by itself", async () => {
      await start({ corsOrigins: [] });
      const { url, checks } = await begin(await discover(), offline);
      await page.goto(url);
      await fillIn();
      await button("Allow").click();
      const code = (await returned()).searchParams.get("code") ?? "";
      const endpoint = `${server.url}/oauth/v2/token`;
      const own = { client_id: clientId, redirect_uri: redirectUri };
      const first = await fetchFromPage({
        url: endpoint,
        form: { ...own, grant_type: "authorization_code", code, code_verifier: checks.pkceCodeVerifier ?? "" },
      });
      const refresh = { ...own, grant_type: "refresh_token", refresh_token: String(first?.body["refresh_token"]) };
      const second = await fetchFromPage({ url: endpoint, form: refresh });
      expect(second).toMatchObject({ status: 200, body: { refresh_token: expect.any(String) } });
      const last = String(second?.body["refresh_token"]);
      const config = await discover();
      await openid.tokenRevocation(config, last);
      expect(await fetchFromPage({ url: endpoint, form: { ...refresh, refresh_token: last } })).toMatchObject({
        status: 400,
      });
    });

    it("is the only one whose page can exchange its code", async () => {
      await start({ corsOrigins: [] });
      const form = await getCode();
      const url = `${server.url}/oauth/v2/token`;
      await page.goto(foreign.origin);
      expect(await fetchFromPage({ url, form })).toBeUndefined();
      expect(complaints.join("\n")).toMatch(/blocked by CORS policy/);
      await page.goto(own.origin);
      // The foreign page did not spend it either.
      expect(await fetchFromPage({ url, form })).toMatchObject({ status: 200 });
    });

    it("cannot be one with a secret", async () => {
      await start({ corsOrigins: [] });
      clientId = await server.clients.add({
        name: "Server",
        redirectUris: [redirectUri],
        secretDigest: digestToken("secret"),
      });
      const { url, checks } = await begin(await discover(clientId, openid.ClientSecretPost("secret")));
      await page.goto(url);
      await fillIn();
      const form = {
        grant_type: "authorization_code",
        client_id: clientId,
        client_secret: "secret",
        redirect_uri: redirectUri,
        code: (await returned()).searchParams.get("code") ?? "",
        code_verifier: checks.pkceCodeVerifier ?? "",
      };
      expect(await fetchFromPage({ url: `${server.url}/oauth/v2/token`, form })).toBeUndefined();
    });

    it("keeps its session where other pages' requests do not carry it", async () => {
      await start();
      await signIn(await discover());
      const cookies = (await context.cookies(server.url)).filter(({ name }) => name.startsWith("portcullis_session"));
      expect(cookies.length).toBeGreaterThan(0);
      for (const cookie of cookies) expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Lax" });
    });
  });
});
