import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { connect } from "node:http2";
import { decodeJwt, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { keyClientId } from "../../src/auth/issued.ts";
import { createKeyFile, type KeyFile } from "../../src/auth/issuer/key-file.ts";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken, generateSecret } from "../../src/auth/token.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";
import { beginSignIn, type Page, type SignIn, signIn, Visitor } from "../fixtures/visitor.ts";

const redirectUri = "https://app.example/cb";
const password = "correct horse battery";
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const offlineScope = `openid offline_access ${apiScope}`;

interface Tokens {
  readonly access_token: string;
  readonly id_token: string;
  readonly refresh_token: string;
}

let hash: string;
let server: TestServer;
let application: SignIn;
beforeAll(async () => {
  hash = await hashPassword(password);
  // Each attack comes from an address of its own, so that none of them runs into the limits that another one used up.
  server = await startTestServer({ issuer: {}, trustedProxies: ["127.0.0.1"] });
  application = { issuer: server.url, clientId: await addApplication("Console"), redirectUri };
  await addUser("ada");
});
afterAll(async () => {
  await server.close();
  expect(server.failures).toEqual([]);
});

const addApplication = (name: string, at = server) => at.clients.add({ name, redirectUris: [redirectUri] });

async function addUser(name: string, at = server): Promise<string> {
  const { id } = await at.directory.addUser({ name, role: "IAM_OWNER" });
  await at.credentials.setPassword({ userName: name, hash });
  return id;
}

async function start(options: TestServerOptions): Promise<TestServer> {
  const started = await startTestServer({ issuer: {}, ...options });
  onTestFinished(() => started.close());
  return started;
}

let addresses = 0;
function newAddress(): string {
  addresses += 1;
  return `198.18.${addresses >> 8}.${addresses & 255}`;
}

/** A visitor from an address of its own, who remembers every page and can say what is in its jar. */
class Attacker extends Visitor {
  readonly pages: Page[] = [];
  readonly #address: string;

  constructor(address = newAddress()) {
    super();
    this.#address = address;
  }

  override async go(url: string, init: RequestInit = {}): Promise<Page> {
    const headers = new Headers(init.headers);
    if (!headers.has("x-forwarded-for")) headers.set("x-forwarded-for", this.#address);
    if (!headers.has("accept")) headers.set("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    const page = await super.go(url, { ...init, headers });
    this.pages.push(page);
    return page;
  }

  /** The newest value that a cookie was set to. */
  cookie(name: string): string | undefined {
    return this.pages
      .flatMap(({ headers }) => headers.getSetCookie())
      .flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1).split(";")[0]] : []))
      .at(-1);
  }

  get askedForPassword(): number {
    return this.pages.filter(({ text }) => text.includes('name="password"')).length;
  }
}

type Fields = Readonly<Record<string, string>> | readonly [string, string][];
const toForm = (fields: Fields) => new URLSearchParams(fields);

function post(path: string, fields: Fields, headers: Readonly<Record<string, string>> = {}, at = server) {
  return fetch(at.url + path, {
    method: "POST",
    body: toForm(fields),
    headers: { "x-forwarded-for": newAddress(), ...headers },
  });
}

const askToken = (fields: Fields, headers?: Readonly<Record<string, string>>) =>
  post("/oauth/v2/token", fields, headers);

async function read<T>(response: Promise<Response>, status = 200): Promise<T> {
  const answer = await response;
  const text = await answer.text();
  expect(answer.status, text).toBe(status);
  return JSON.parse(text) as T;
}

const refused = (response: Promise<Response>, status: number, error: string) =>
  expect(read(response, status)).resolves.toMatchObject({ error });

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}`,
});

async function callApi(token: string, at = server): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const { status, body } = await fetch(`${at.url}/admin/v1/policies/login`, { headers });
  await body?.cancel();
  return status;
}

interface Code {
  readonly code: string;
  readonly verifier: string;
}

/** Ada at her own browser, where she is signed in: a password costs a tenth of a second. */
let usual: Attacker | undefined;

async function getCode(
  options: { visitor?: Visitor; userName?: string; scope?: string; app?: SignIn } = {},
): Promise<Code> {
  const { userName = "ada", scope = `openid ${apiScope}`, app = application } = options;
  usual ??= new Attacker();
  const visitor = options.visitor ?? (userName === "ada" ? usual : new Attacker());
  const { returned, verifier } = await signIn(visitor, { ...app, scope, userName, password });
  return { code: returned.searchParams.get("code") ?? "", verifier };
}

const redeemForm = ({ code, verifier }: Code, { clientId } = application) => ({
  grant_type: "authorization_code",
  client_id: clientId,
  redirect_uri: redirectUri,
  code,
  code_verifier: verifier,
});

const getTokens = async (options: Parameters<typeof getCode>[0] = {}): Promise<Tokens> =>
  read(askToken(redeemForm(await getCode(options), options.app)));

const refresh = ({ refresh_token }: Tokens, { clientId } = application) =>
  askToken({ grant_type: "refresh_token", client_id: clientId, refresh_token });

/** Throws unless these tokens count nowhere. */
async function expectDead(tokens: Tokens, app = application): Promise<void> {
  expect(await callApi(tokens.access_token)).toBe(401);
  for (const token of [tokens.access_token, tokens.refresh_token]) {
    if (token === undefined) continue;
    // Not in an application's name, which may be gone as well.
    expect(await read(post("/oauth/v2/introspect", { token }, inspector))).toEqual({ active: false });
  }
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  expect((await fetch(`${server.url}/oidc/v1/userinfo`, { headers })).status).toBe(401);
  if (tokens.refresh_token !== undefined) expect([400, 401]).toContain((await refresh(tokens, app)).status);
}

let inspector: Readonly<Record<string, string>>;
beforeAll(async () => {
  const secret = generateSecret();
  await server.directory.addUser({ name: "inspector", role: "ORG_OWNER" });
  await server.credentials.setSecret({ userName: "inspector", digest: digestToken(secret) });
  inspector = basic("inspector", secret);
});

/** Opens a sign-in page. */
async function openSignIn(
  visitor: Visitor,
  app: SignIn = application,
  more = "",
): Promise<{ url: string; page: Page }> {
  const { url } = await beginSignIn(app);
  const { location } = await visitor.go(url + more);
  return { url: location, page: await visitor.go(location) };
}

function expectGuarded({ status, headers, text }: Page): void {
  const seen = `${status} ${text.slice(0, 200)}`;
  expect(headers.get("content-type"), seen).toMatch(/^text\/html/);
  expect(headers.get("content-security-policy"), seen).toContain("frame-ancestors 'none'");
  expect(headers.get("x-frame-options"), seen).toBe("DENY");
  expect(headers.get("x-content-type-options"), seen).toBe("nosniff");
  expect(headers.get("cache-control"), seen).toContain("no-store");
}

describe("an authorization code", () => {
  it("is refused the second time, and the tokens it was redeemed for end", async () => {
    const code = await getCode({ scope: offlineScope });
    const tokens = await read<Tokens>(askToken(redeemForm(code)));
    expect(await callApi(tokens.access_token)).toBe(200);
    await refused(askToken(redeemForm(code)), 400, "invalid_grant");
    await expectDead(tokens);
  });

  it("is redeemed by exactly one of ten at once, and nothing that it gave stays valid", async () => {
    const code = await getCode({ scope: offlineScope });
    const answers = await Promise.all(Array.from({ length: 10 }, () => askToken(redeemForm(code))));
    const tokens = await Promise.all(
      answers.filter(({ status }) => status === 200).map((answer) => answer.json() as Promise<Tokens>),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(400)]);
    for (const each of tokens) await expectDead(each);
  });

  it.each<[string, (form: Record<string, string>) => Record<string, string>]>([
    ["with another verifier", (form) => ({ ...form, code_verifier: randomBytes(32).toString("base64url") })],
    ["without a verifier", ({ code_verifier: _, ...form }) => form],
    ["with an empty verifier", (form) => ({ ...form, code_verifier: "" })],
    [
      "with the challenge as the verifier",
      (form) => ({ ...form, code_verifier: challengeOf(form["code_verifier"] ?? "") }),
    ],
    ["with another redirect_uri", (form) => ({ ...form, redirect_uri: "https://app.example/other" })],
    ["with a longer redirect_uri", (form) => ({ ...form, redirect_uri: `${redirectUri}/` })],
  ])("is refused %s", async (_, change) => {
    const form = redeemForm(await getCode());
    const answer = await askToken(change(form));
    expect(answer.status, await answer.text()).toBe(400);
  });

  it("is refused to another application, and still there for its own", async () => {
    const other = await addApplication("Thief");
    const form = redeemForm(await getCode());
    await refused(askToken({ ...form, client_id: other }), 400, "invalid_grant");
    await refused(askToken({ ...form, client_id: "unknown" }), 401, "invalid_client");
    expect((await askToken(form)).status).toBe(200);
  });

  it("is refused after a minute", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const own = await start({ clock: () => Date.now() });
    await addUser("ada", own);
    const app = { issuer: own.url, clientId: await addApplication("Console", own), redirectUri };
    const visitor = new Visitor();
    for (const [seconds, status] of [
      [59, 200],
      [60, 400],
    ] as const) {
      const code = await getCode({ visitor, app });
      vi.setSystemTime(Date.now() + seconds * 1000);
      const answer = await post("/oauth/v2/token", redeemForm(code, app), {}, own);
      expect(answer.status, await answer.text()).toBe(status);
    }
  });

  it("ends with the password", async () => {
    await addUser("changing");
    const code = await getCode({ userName: "changing" });
    await server.credentials.setPassword({ userName: "changing", hash });
    await refused(askToken(redeemForm(code)), 400, "invalid_grant");
  });
});

const challengeOf = (verifier: string) => createHash("sha256").update(verifier).digest("base64url");

describe("a refresh token", () => {
  it("ends the whole family when it is used again", async () => {
    const first = await getTokens({ scope: offlineScope });
    const second = await read<Tokens>(refresh(first));
    const third = await read<Tokens>(refresh(second));
    await refused(refresh(first), 400, "invalid_grant");
    for (const tokens of [first, second, third]) await expectDead(tokens);
  });

  it("is replaced by exactly one of ten at once, and nothing of the family stays valid", async () => {
    const first = await getTokens({ scope: offlineScope });
    const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(first)));
    expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
    for (const answer of answers) {
      if (answer.status === 200) await expectDead((await answer.json()) as Tokens);
    }
    await expectDead(first);
  });

  it("is refused to another application, with nothing ended", async () => {
    const other = await addApplication("Refresh thief");
    const tokens = await getTokens({ scope: offlineScope });
    await refused(refresh(tokens, { ...application, clientId: other }), 400, "invalid_grant");
    expect((await refresh(tokens)).status).toBe(200);
  });

  it.each(["access_token", "id_token"] as const)("is not the %s", async (name) => {
    const tokens = await getTokens({ scope: offlineScope });
    await refused(refresh({ ...tokens, refresh_token: tokens[name] }), 400, "invalid_grant");
  });
});

describe("an authorization request", () => {
  const authorize = async (change: (query: URLSearchParams) => void): Promise<Page> => {
    const url = new URL((await beginSignIn(application)).url);
    change(url.searchParams);
    return new Attacker().go(url.href);
  };

  it.each([
    "https://evil.example/cb",
    "https://app.example.evil.example/cb",
    "https://app.example@evil.example/cb",
    "https://evil.example#@app.example/cb",
    "https://evil.example\\@app.example/cb",
    "https://app.example/other",
    "https://app.example/cb/",
    "https://app.example/cb/deeper",
    "https://app.example/cb2",
    "https://app.example/c",
    "https://app.example",
    "https://app.example/cb?more=1",
    "https://app.example/cb#fragment",
    "https://app.example/cb#",
    "https://app.example:443/cb",
    "https://app.example:8443/cb",
    "https://APP.example/cb",
    "https://app.example/CB",
    "https://app.example//cb",
    "https://app.example/./cb",
    "https://app.example/x/../cb",
    "https://app.example/%63b",
    "https://app.example/cb%00",
    "https%3A%2F%2Fapp.example%2Fcb",
    " https://app.example/cb",
    "https://app.example/cb ",
    "https://app.example/cb\n",
    "http://app.example/cb",
    "//app.example/cb",
    "/cb",
    "javascript:alert(1)//https://app.example/cb",
    "data:text/html,x",
    "http://127.0.0.1:1/cb",
  ])("is answered by a page and never by a redirect to %j", async (uri) => {
    const page = await authorize((query) => query.set("redirect_uri", uri));
    expect([page.status, page.location]).toEqual([400, ""]);
    expectGuarded(page);
  });

  it.each<[string, (query: URLSearchParams) => void]>([
    ["an unknown application", (query) => query.set("client_id", "unknown")],
    ["no application", (query) => query.delete("client_id")],
    ["two applications", (query) => query.append("client_id", "unknown")],
    ["an application's id that is no text", (query) => query.set("client_id", "\u0000")],
    ["the client that keys of users belong to", (query) => query.set("client_id", keyClientId)],
    ["a service user as the application", (query) => query.set("client_id", "inspector")],
  ])("is answered by a page where it has %s", async (_, change) => {
    const page = await authorize(change);
    expect([page.status, page.location]).toEqual([400, ""]);
    expectGuarded(page);
  });

  it.each<[string, (query: URLSearchParams) => void, string]>([
    ["response_type=token", (query) => query.set("response_type", "token"), "unsupported_response_type"],
    ["response_type=id_token", (query) => query.set("response_type", "id_token"), "unsupported_response_type"],
    [
      "response_type=code id_token",
      (query) => query.set("response_type", "code id_token"),
      "unsupported_response_type",
    ],
    ["response_type=none", (query) => query.set("response_type", "none"), "unsupported_response_type"],
    ["no response_type", (query) => query.delete("response_type"), "invalid_request"],
    [
      "no PKCE",
      (query) => {
        query.delete("code_challenge");
        query.delete("code_challenge_method");
      },
      "invalid_request",
    ],
    ["the plain method of PKCE", (query) => query.set("code_challenge_method", "plain"), "invalid_request"],
    ["no method of PKCE", (query) => query.delete("code_challenge_method"), "invalid_request"],
    ["a challenge that is too short", (query) => query.set("code_challenge", "short"), "invalid_request"],
    ["two scopes", (query) => query.append("scope", "profile"), "invalid_request"],
    ["two states", (query) => query.append("state", "other"), "invalid_request"],
    ["two challenges", (query) => query.append("code_challenge", "x".repeat(43)), "invalid_request"],
    ["a request object", (query) => query.set("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"],
    ["a request URI", (query) => query.set("request_uri", "https://evil.example/r"), "request_uri_not_supported"],
    ["a prompt that is not known", (query) => query.set("prompt", "create"), "invalid_request"],
  ])("returns an error and no code where it has %s", async (_, change, error) => {
    const page = await authorize(change);
    expect(page.status, page.text).toBe(303);
    const { origin, pathname, searchParams, hash: fragment } = new URL(page.location);
    expect(origin + pathname).toBe(redirectUri);
    const answer = new URLSearchParams([...searchParams, ...new URLSearchParams(fragment.slice(1))]);
    expect([answer.get("error"), answer.has("code"), answer.has("access_token")]).toEqual([error, false, false]);
  });

  it.each<[string, (query: URLSearchParams) => void]>([
    ["two redirect URIs, the right one first", (query) => query.append("redirect_uri", "https://evil.example/cb")],
    [
      "two redirect URIs, the right one last",
      (query) => {
        query.set("redirect_uri", "https://evil.example/cb");
        query.append("redirect_uri", redirectUri);
      },
    ],
    [
      "a redirect URI by another name",
      (query) => {
        query.delete("redirect_uri");
        query.append("redirect_uri[]", "https://evil.example/cb");
      },
    ],
  ])("leads nowhere but to the one that is registered where it has %s", async (_, change) => {
    const url = new URL((await beginSignIn(application)).url);
    change(url.searchParams);
    const visitor = new Attacker();
    let page = await visitor.go(url.href);
    if (page.location.startsWith(server.url)) {
      const sent = await visitor.send(page.location, { username: "ada", password });
      page = await visitor.go(sent.location);
    }
    if (page.location !== "") expect(page.location.split("?")[0]).toBe(redirectUri);
    expect(page.location).not.toContain("evil");
  });

  it("is not taken as a form", async () => {
    const { url } = await beginSignIn(application);
    const answer = await post("/oauth/v2/authorize", [...new URL(url).searchParams]);
    expect([404, 405]).toContain(answer.status);
  });

  it("is refused where it is absurdly long", async () => {
    const page = await authorize((query) => query.set("state", "x".repeat(40_000)));
    expect([414, 431]).toContain(page.status);
  });

  it("opens a hundred sign-in pages at once, each with an id of its own", async () => {
    const pages = await Promise.all(Array.from({ length: 100 }, () => openSignIn(new Attacker())));
    expect(pages.map(({ page }) => page.status)).toEqual(Array(100).fill(200));
    expect(new Set(pages.map(({ url }) => url)).size).toBe(100);
  });
});

describe("the return from a sign-in", () => {
  it("goes only where the request said, whatever is sent along", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const extra = {
      returnTo: "https://evil.example",
      redirect_uri: "https://evil.example",
      return_to: "//evil.example",
    };
    const more = `?${new URLSearchParams(extra)}`;
    const sent = await visitor.send(url + more, { username: "ada", password, ...extra });
    expect(new URL(sent.location).origin).toBe(server.url);
    const returned = await visitor.go(sent.location + more);
    expect(returned.location).toMatch(/^https:\/\/app\.example\/cb\?code=/);
  });

  it("is refused to a browser that did not begin the sign-in", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const sent = await visitor.send(url, { username: "ada", password });
    const stranger = await new Attacker().go(sent.location);
    expect([stranger.status, stranger.location]).toEqual([400, ""]);
    expectGuarded(stranger);
  });

  it("happens once", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const sent = await visitor.send(url, { username: "ada", password });
    expect((await visitor.go(sent.location)).location).toMatch(/code=/);
    expect((await visitor.go(sent.location)).location).toBe("");
    expect((await visitor.send(url, { username: "ada", password })).location).toBe("");
  });

  it("needs the password to be the same still", async () => {
    await addUser("robbed");
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const sent = await visitor.send(url, { username: "robbed", password });
    expect(sent.status).toBe(303);
    await server.credentials.setPassword({ userName: "robbed", hash });
    const returned = await visitor.go(sent.location);
    expect(returned.location).not.toContain("code=");
  });

  it("needs the user to be there still", async () => {
    await addUser("dismissed");
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const sent = await visitor.send(url, { username: "dismissed", password });
    await server.directory.removeUser("dismissed");
    const returned = await visitor.go(sent.location);
    expect(returned.location).not.toContain("code=");
    expect(returned.status).toBeLessThan(500);
  });

  it("needs the application to be there still", async () => {
    const app = { ...application, clientId: await addApplication("Withdrawn") };
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor, app);
    const sent = await visitor.send(url, { username: "ada", password });
    await server.clients.remove(app.clientId);
    const returned = await visitor.go(sent.location);
    expect([returned.status, returned.location]).toEqual([400, ""]);
    expectGuarded(returned);
  });
});

describe("the forms", () => {
  it.each([
    ["a foreign origin", { origin: "https://evil.example" }],
    ["the null origin", { origin: "null" }],
    ["an origin that begins like ours", () => ({ origin: `${server.url}.evil.example` })],
    ["a cross-site fetch", () => ({ origin: server.url, "sec-fetch-site": "cross-site" })],
    ["a same-site fetch", () => ({ origin: server.url, "sec-fetch-site": "same-site" })],
  ])("of the sign-in are refused from %s", async (_, given) => {
    const headers = typeof given === "function" ? given() : given;
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor);
    const refusedPage = await visitor.send(url, { username: "ada", password }, headers);
    expect([refusedPage.status, refusedPage.location]).toEqual([403, ""]);
    expectGuarded(refusedPage);
    expect((await visitor.send(url, { username: "ada", password })).status).toBe(303);
  });

  it("of the sign-in are refused without the cookie", async () => {
    const { url } = await openSignIn(new Attacker());
    const page = await new Attacker().send(url, { username: "ada", password });
    expect([page.status, page.location]).toEqual([400, ""]);
    expectGuarded(page);
  });

  it("of the sign-in are refused with the cookie of another one", async () => {
    const [attacker, victim] = [new Attacker(), new Attacker()];
    const { url: foreign } = await openSignIn(attacker);
    const { url: own } = await openSignIn(victim);
    const [name, value] = ["portcullis_sign_in", victim.cookie("portcullis_sign_in")];
    const signature = victim.cookie(`${name}.sig`);
    const cookie = `${name}=${value}; ${name}.sig=${signature}`;
    const send = (url: string, sent: string) =>
      fetch(url, {
        method: "POST",
        redirect: "manual",
        body: toForm({ username: "ada", password }),
        headers: { cookie: sent, origin: server.url, "x-forwarded-for": newAddress() },
      });
    expect((await send(foreign, cookie)).status).toBe(400);
    const uid = new URL(foreign).pathname.split("/").at(-1);
    expect((await send(foreign, `${name}=${uid}; ${name}.sig=${signature}`)).status).toBe(400);
    expect((await send(foreign, `${name}=${uid}`)).status).toBe(400);
    expect((await send(own, cookie)).status).toBe(303);
  });

  it("of the consent are refused from elsewhere", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor, { ...application, scope: offlineScope });
    const sent = await visitor.send(url, { username: "ada", password });
    const { location: consent } = await visitor.go(sent.location);
    for (const origin of ["https://evil.example", "null"]) {
      const page = await visitor.send(consent, { decision: "allow" }, { origin });
      expect([page.status, page.location]).toEqual([403, ""]);
    }
    expect((await new Attacker().send(consent, { decision: "allow" })).status).toBe(400);
    const undecided = await visitor.send(consent, {});
    expect((await visitor.go(undecided.location)).location).toContain("error=access_denied");
  });

  it("of the consent are not answered by the sign-in's fields, nor the other way round", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor, { ...application, scope: offlineScope });
    const skipped = await visitor.send(url, { decision: "allow" });
    expect([skipped.status, skipped.location]).toEqual([401, ""]);
  });

  it("of the sign-out need the secret of this session", async () => {
    const visitor = new Attacker();
    const tokens = await getTokens({ visitor });
    const confirm = `${server.url}/oidc/v1/end_session/confirm`;
    const before = await visitor.send(confirm, { logout: "yes" });
    expect([before.status, before.location]).toEqual([400, ""]);
    await visitor.go(`${server.url}/oidc/v1/end_session`);
    const stranger = new Attacker();
    const theirs = await stranger.go(`${server.url}/oidc/v1/end_session`);
    const foreign = /name="xsrf" value="([^"]+)"/.exec(theirs.text)?.[1] ?? "";
    expect(foreign).not.toBe("");
    for (const xsrf of ["", "x".repeat(48), foreign]) {
      const page = await visitor.send(confirm, { xsrf, logout: "yes" });
      expect([page.status, page.location]).toEqual([400, ""]);
    }
    expect(await callApi(tokens.access_token)).toBe(200);
    const asked = visitor.askedForPassword;
    await getTokens({ visitor });
    expect(visitor.askedForPassword).toBe(asked);
  });

  it("of the sign-out never lead elsewhere", async () => {
    const visitor = new Attacker();
    const { id_token } = await getTokens({ visitor });
    const ask = (query: Fields) => visitor.go(`${server.url}/oidc/v1/end_session?${toForm(query)}`);
    for (const uri of [
      "https://evil.example/",
      "https://app.example@evil.example/cb",
      "https://app.example/cb/..",
      "//evil.example",
      "javascript:alert(1)",
    ]) {
      for (const hint of [{ id_token_hint: id_token }, { client_id: application.clientId }]) {
        const page = await ask({ ...hint, post_logout_redirect_uri: uri } as Record<string, string>);
        expect([page.status, page.location], uri).toEqual([400, ""]);
        expectGuarded(page);
      }
    }
    // Without an application there is nothing to compare with.
    const evil = { post_logout_redirect_uri: "https://evil.example/", state: "x" };
    const asked = await ask(evil);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
    const confirm = `${server.url}/oidc/v1/end_session/confirm`;
    const left = await visitor.send(confirm, { xsrf, logout: "yes", ...evil });
    expect([left.status, new URL(left.location).origin]).toEqual([303, server.url]);
  });

  it("of the sign-out take no hint that this issuer did not sign for that application", async () => {
    const visitor = new Attacker();
    const { id_token } = await getTokens({ visitor });
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const other = await addApplication("Hinted at");
    const forged = await new SignJWT(decodeJwt(id_token)).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${id_token.split(".")[1]}.`;
    for (const query of [
      { id_token_hint: forged },
      { id_token_hint: unsigned },
      { id_token_hint: "x" },
      { id_token_hint: id_token, client_id: other },
    ]) {
      const page = await visitor.go(`${server.url}/oidc/v1/end_session?${toForm(query as Record<string, string>)}`);
      expect([page.status, page.location]).toEqual([400, ""]);
      expectGuarded(page);
    }
  });
});

describe("every page", () => {
  it("may not be framed, cached or sniffed", async () => {
    const visitor = new Attacker();
    const app = { ...application, scope: offlineScope };
    const { url, page } = await openSignIn(visitor, app);
    expectGuarded(page);
    expectGuarded(await visitor.send(url, { username: "ada", password: "wrong" }));
    const sent = await visitor.send(url, { username: "ada", password });
    const { location: consent } = await visitor.go(sent.location);
    expectGuarded(await visitor.go(consent));
    await visitor.go((await visitor.send(consent, { decision: "allow" })).location);
    expectGuarded(await visitor.go(`${server.url}/oidc/v1/end_session`));
    expectGuarded(await visitor.go(`${server.url}/oidc/v1/end_session/success`));
    expectGuarded(await visitor.go(`${server.url}/sign-in/unknown`));
    expectGuarded(await visitor.go(`${server.url}/sign-in/`));
    expectGuarded(await visitor.go(`${server.url}/oauth/v2/authorize`));
    expectGuarded(await visitor.go(`${server.url}/oauth/v2/authorize/unknown`));
    expectGuarded(await visitor.go(`${server.url}/oidc/v1/end_session?id_token_hint=x`));
    expectGuarded(await visitor.go(`${server.url}/oauth/v2/token`, { method: "POST" }));
  });

  it.each<[string, (visitor: Visitor) => Promise<Page>]>([
    ["that ends a session nobody has", (visitor) => visitor.go(`${server.url}/oidc/v1/end_session`)],
    [
      "that answers in a form",
      async (visitor) => visitor.go(`${(await beginSignIn(application)).url}&prompt=none&response_mode=form_post`),
    ],
  ])("%s may not be framed either", async (_, open) => {
    expectGuarded(await open(new Attacker()));
  });
});

describe("what others wrote", () => {
  const markup = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;{{7*7}}`;

  /** Throws unless no element came of it. */
  function expectEscaped({ text }: Page): void {
    expect(text).not.toContain("<script");
    expect(text).not.toContain("<img");
    expect(text).not.toContain(`onerror='`);
  }

  it("is shown as text: an application's name, a hint, a user's name", async () => {
    const app = { ...application, clientId: await addApplication(markup), scope: offlineScope };
    const name = `x${markup}`;
    await addUser(name);
    const visitor = new Attacker();
    const hint = `&login_hint=${encodeURIComponent(markup)}`;
    const { url, page } = await openSignIn(visitor, app, hint);
    expect(page.status).toBe(200);
    expectEscaped(page);
    expect(page.text).toContain("&#60;script&#62;");
    const failed = await visitor.send(url, { username: markup, password: markup });
    expectEscaped(failed);
    const sent = await visitor.send(url, { username: name, password });
    const { location: consent } = await visitor.go(sent.location);
    expectEscaped(await visitor.go(consent));
  });

  it("is shown as text: the parameters of a request that is refused", async () => {
    const visitor = new Attacker();
    const redirectUris = [redirectUri, "https://app.example/other"];
    const app = { ...application, clientId: await server.clients.add({ name: "Of two URIs", redirectUris }) };
    for (const name of [
      "client_id",
      "redirect_uri",
      "response_type",
      "scope",
      "prompt",
      "state",
      "ui_locales",
      markup,
    ]) {
      const url = new URL((await beginSignIn(app)).url);
      url.searchParams.delete("redirect_uri");
      url.searchParams.set(name, markup);
      const page = await visitor.go(url.href);
      expect(page.location).toBe("");
      expectEscaped(page);
    }
    for (const name of ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"]) {
      const page = await visitor.go(`${server.url}/oidc/v1/end_session?${toForm({ [name]: markup })}`);
      expect(page.text).not.toContain("<img");
      expect(page.text).not.toContain("alert(1)");
    }
  });

  it("is a value and not markup in the form that carries an answer", async () => {
    const url = new URL((await beginSignIn(application)).url);
    url.searchParams.set("state", markup);
    url.searchParams.set("prompt", "none");
    url.searchParams.set("response_mode", "form_post");
    const page = await new Attacker().go(url.href);
    expect(page.text).not.toContain("<img");
    expect(page.text).not.toContain("<script>alert");
  });

  it("never splits a header", async () => {
    const url = new URL((await beginSignIn(application)).url);
    url.searchParams.set("state", "x\r\nset-cookie: portcullis_session=evil");
    url.searchParams.set("prompt", "none");
    const page = await new Attacker().go(url.href);
    expect(page.headers.getSetCookie().join()).not.toContain("evil");
    expect(new URL(page.location).searchParams.get("state")).toContain("\r\n");
  });
});

describe("the session's cookie", () => {
  it("does not sign in whoever got it before the sign-in", async () => {
    const visitor = new Attacker();
    // Gives a session to somebody who is not signed in, as an attacker would plant one.
    await visitor.go(`${server.url}/oidc/v1/end_session`);
    const planted = visitor.cookie("portcullis_session");
    const signature = visitor.cookie("portcullis_session.sig");
    expect(planted).toMatch(/^\S{20,}$/);
    await getTokens({ visitor });
    expect(visitor.cookie("portcullis_session")).not.toBe(planted);
    const { url } = await beginSignIn(application);
    const cookie = `portcullis_session=${planted}; portcullis_session.sig=${signature}`;
    const answer = await fetch(`${url}&prompt=none`, { redirect: "manual", headers: { cookie } });
    expect(answer.headers.get("location")).toContain("error=login_required");
  });

  it("changes with every sign-in, and the one before opens nothing", async () => {
    const visitor = new Attacker();
    await getTokens({ visitor });
    const [before, signature] = ["portcullis_session", "portcullis_session.sig"].map((name) => visitor.cookie(name));
    const { url } = await openSignIn(visitor, application, "&prompt=login");
    await visitor.go((await visitor.send(url, { username: "ada", password })).location);
    expect(visitor.cookie("portcullis_session")).not.toBe(before);
    const cookie = `portcullis_session=${before}; portcullis_session.sig=${signature}`;
    const none = `${(await beginSignIn(application)).url}&prompt=none`;
    const answer = await fetch(none, { redirect: "manual", headers: { cookie } });
    expect(answer.headers.get("location")).toContain("error=login_required");
  });

  it("counts only with its signature", async () => {
    const visitor = new Attacker();
    await getTokens({ visitor });
    const value = visitor.cookie("portcullis_session");
    const signature = visitor.cookie("portcullis_session.sig") ?? "";
    const none = `${(await beginSignIn(application)).url}&prompt=none`;
    const ask = async (cookie: string) => {
      const answer = await fetch(none, { redirect: "manual", headers: { cookie } });
      return new URL(answer.headers.get("location") ?? "").searchParams.get("error");
    };
    expect(await ask(`portcullis_session=${value}`)).toBe("login_required");
    expect(await ask(`portcullis_session=${value}; portcullis_session.sig=${"x".repeat(27)}`)).toBe("login_required");
    expect(await ask(`portcullis_session=other; portcullis_session.sig=${signature}`)).toBe("login_required");
    expect(await ask(`portcullis_session=${value}; portcullis_session.sig=${signature}`)).toBeNull();
  });

  it("ends with the password, and with the user", async () => {
    await addUser("session owner");
    const visitor = new Attacker();
    await getTokens({ visitor, userName: "session owner" });
    await server.credentials.setPassword({ userName: "session owner", hash });
    const none = `${(await beginSignIn(application)).url}&prompt=none`;
    expect((await visitor.go(none)).location).toContain("error=login_required");
    await getTokens({ visitor, userName: "session owner" });
    expect((await visitor.go(`${(await beginSignIn(application)).url}&prompt=none`)).location).toContain("code=");
    await server.directory.removeUser("session owner");
    expect((await visitor.go(none)).location).toContain("error=login_required");
  });
});

describe("guessing passwords", () => {
  // Longer than any password may be, so that a guess costs no hash.
  const guessed = "wrong".repeat(300);
  let now = Date.now();
  let own: TestServer;
  let app: SignIn;
  beforeAll(async () => {
    own = await startTestServer({ issuer: {}, clock: () => now, trustedProxies: ["127.0.0.1"] });
    app = { issuer: own.url, clientId: await addApplication("Console", own), redirectUri };
    for (const name of ["ada", "bob"]) await addUser(name, own);
  });
  afterAll(async () => {
    await own.close();
    expect(own.failures).toEqual([]);
  });

  /** A sign-in page to which anyone may send guesses, from any address. */
  async function openGuess(at = app) {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor, at);
    return (from: string, username: string, guess = guessed) =>
      visitor.send(url, { username, password: guess }, { "x-forwarded-for": from });
  }

  it("goes through ten times for one user, of two hundred at once from as many addresses", async () => {
    const home = await openGuess();
    expect((await home("192.0.2.250", "ada", password)).status).toBe(303);
    const guess = await openGuess();
    const pages = await Promise.all(Array.from({ length: 200 }, (_, i) => guess(`192.0.2.${i}`, "ada")));
    const count = (wanted: number) => pages.filter(({ status }) => status === wanted).length;
    expect([count(401), count(429)]).toEqual([10, 190]);
  });

  it("is then refused for a while, even where it is right, and says for how long", async () => {
    const guess = await openGuess();
    for (const attempt of [guessed, password]) {
      const page = await guess("192.0.2.240", "ada", attempt);
      expect([page.status, page.headers.get("retry-after"), page.location]).toEqual([429, "30", ""]);
      expectGuarded(page);
      expect(page.text).toContain("Try again in 30 seconds");
    }
  });

  it("keeps neither other users out, nor the user where they signed in before", async () => {
    expect((await (await openGuess())("192.0.2.0", "bob", password)).status).toBe(303);
    expect((await (await openGuess())("192.0.2.250", "ada", password)).status).toBe(303);
  });

  it("may go on slowly", async () => {
    const guess = await openGuess();
    now += 29_999;
    const early = await guess("192.0.2.1", "ada");
    expect([early.status, early.headers.get("retry-after")]).toEqual([429, "1"]);
    now += 1;
    expect((await guess("192.0.2.1", "ada")).status).toBe(401);
    expect((await guess("192.0.2.1", "ada")).status).toBe(429);
    now += 30_000;
    expect((await guess("192.0.2.1", "ada", password)).status).toBe(303);
  });

  it("ends after twenty of one address, whatever it says about itself", async () => {
    const direct = await start({ trustedProxies: [] });
    const clientId = await addApplication("Console", direct);
    await addUser("ada", direct);
    const guess = await openGuess({ issuer: direct.url, clientId, redirectUri });
    const pages = await Promise.all(Array.from({ length: 40 }, (_, i) => guess(`192.0.2.${i}`, `user ${i}`)));
    const count = (wanted: number) => pages.filter(({ status }) => status === wanted).length;
    expect([count(401), count(429)]).toEqual([20, 20]);
    expect((await guess("192.0.2.99", "ada", password)).status).toBe(429);
  });

  it("does not tell which users there are", async () => {
    await own.directory.addUser({ name: "eve", role: "ORG_OWNER" });
    await addUser("gone", own);
    await own.directory.removeUser("gone");
    const guess = await openGuess();
    const answers = [];
    // A user with a password, one without, one that was removed, and names that nobody has.
    for (const name of ["ada", "eve", "gone", "zoe", "Ada", "x".repeat(5000)]) {
      const { status, headers, text } = await guess("198.51.100.1", name, "wrong");
      const shown = text.replace(`value="${name}"`, 'value=""');
      answers.push({
        status,
        text: shown,
        headers: Object.fromEntries([...headers].filter(([key]) => key !== "date")),
      });
    }
    for (const answer of answers) {
      expect(answer.status).toBe(401);
      expect(answer.text).toBe(answers[0]?.text);
      expect(Object.keys(answer.headers)).toEqual(Object.keys(answers[0]?.headers ?? {}));
    }
  });

  it("is not helped by odd forms", async () => {
    const visitor = new Attacker();
    const { url } = await openSignIn(visitor, app);
    const send = (body: string, type = "application/x-www-form-urlencoded") =>
      visitor.go(url, { method: "POST", body, headers: { origin: own.url, "content-type": type } });
    for (const body of [
      "",
      "username=bob",
      `password=${encodeURIComponent(password)}`,
      "%",
      "username=%00&password=%00",
    ]) {
      expect((await send(body)).status, body).toBe(401);
    }
    expect((await send(`username=bob&password=${guessed}`)).status).toBe(401);
    expect((await send(`username=bob&password=${"x".repeat(40_000)}`)).status).toBe(413);
    expect((await send(`username=nobody&username=bob&password=${encodeURIComponent(password)}`)).status).toBe(401);
    expect(own.failures).toEqual([]);
  });
});

describe("the token endpoint", () => {
  const from = (address: string) => ({ "x-forwarded-for": address });
  const wrong = { grant_type: "client_credentials", client_id: "inspector", client_secret: "wrong" };
  const right = { grant_type: "client_credentials", scope: apiScope };

  it("answers an address that was wrong sixty times with 429, and others as ever", async () => {
    let now = Date.now();
    const own = await start({ clock: () => now, trustedProxies: ["127.0.0.1"] });
    await own.directory.addUser({ name: "inspector", role: "ORG_OWNER" });
    await own.credentials.setSecret({ userName: "inspector", digest: digestToken("right") });
    const ask = (path: string, fields: Fields, address: string) => post(path, fields, from(address), own);
    const paths = ["token", "introspect", "revoke"].map((name) => `/oauth/v2/${name}`);
    for (let attempt = 0; attempt < 60; attempt += 1) {
      const path = paths[attempt % 3] ?? "";
      expect((await ask(path, { ...wrong, token: "x" }, "192.0.2.1")).status).toBe(401);
    }
    const secret = { ...right, client_id: "inspector", client_secret: "right", token: "x" };
    for (const path of paths) {
      const late = await ask(path, secret, "192.0.2.1");
      expect([late.status, late.headers.get("retry-after")]).toEqual([429, "1"]);
      expect((await ask(path, secret, "192.0.2.2")).status).toBe(200);
    }
    now += 1000;
    expect((await ask("/oauth/v2/token", secret, "192.0.2.1")).status).toBe(200);
  });

  it("lets no more than sixty wrong secrets of a hundred at once through", async () => {
    const session = connect(server.url);
    onTestFinished(() => session.close());
    const form = toForm(wrong).toString();
    const streams = Array.from({ length: 100 }, () =>
      session.request({
        ":method": "POST",
        ":path": "/oauth/v2/token",
        "content-type": "application/x-www-form-urlencoded",
        ...from("192.0.2.60"),
      }),
    );
    // When the ping is answered, the server has seen every request, and the form of none.
    await new Promise((resolve) => session.ping(resolve));
    const statuses = await Promise.all(
      streams.map(
        (stream) =>
          new Promise<unknown>((resolve, reject) => {
            stream.once("response", (headers) => resolve(headers[":status"]));
            stream.once("error", reject);
            stream.resume();
            stream.end(form);
          }),
      ),
    );
    expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(60);
  });

  it("takes forms alone, and says what else it does not take", async () => {
    const text = JSON.stringify(wrong);
    const send = (body: string, type: string, path = "/oauth/v2/token") =>
      fetch(server.url + path, {
        method: "POST",
        body,
        headers: { "content-type": type, ...from(newAddress()) },
      });
    const form = "application/x-www-form-urlencoded";
    for (const path of ["token", "introspect", "revoke"].map((name) => `/oauth/v2/${name}`)) {
      await refused(send(text, "application/json", path), 400, "invalid_request");
      await refused(send("x".repeat(40_000), form, path), 413, "invalid_request");
      for (const body of [
        "",
        "%",
        "&&&===",
        "\u0000",
        "grant_type",
        `${"a=1&".repeat(2000)}`,
        "__proto__[x]=1&constructor=2",
      ]) {
        const answer = await send(body, form, path);
        expect(answer.status, `${path} ${body.slice(0, 20)}`).toBe(400);
      }
      const read = await fetch(server.url + path, { headers: from(newAddress()) });
      expect([read.status, read.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
    }
  });

  it.each(["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", "", "x".repeat(10_000)])(
    "refuses the grant type %j",
    async (grant_type) => {
      const answer = await askToken({ grant_type, client_id: application.clientId, username: "ada", password });
      expect(answer.status).toBe(400);
    },
  );

  it.each(["grant_type", "code", "code_verifier", "client_id", "redirect_uri"])("refuses two of %s", async (name) => {
    const form = redeemForm(await getCode());
    const twice: [string, string][] = [...Object.entries(form), [name, form[name as keyof typeof form]]];
    await refused(askToken(twice), 400, "invalid_request");
  });

  it("refuses what is absurdly long", async () => {
    const long = "x".repeat(30_000);
    const form = { ...redeemForm({ code: long, verifier: "v".repeat(43) }) };
    await refused(askToken(form), 400, "invalid_grant");
    await refused(askToken({ ...form, code: "x", client_id: long }), 401, "invalid_client");
    await refused(askToken({ grant_type: jwtBearer, assertion: long }), 400, "invalid_grant");
    expect((await post("/oauth/v2/introspect", { token: long }, inspector)).status).toBe(200);
  });

  it("gives an application no client credentials, and a service user no code flow", async () => {
    const secret = generateSecret();
    const clientId = await server.clients.add({
      name: "Backend",
      redirectUris: [redirectUri],
      secretDigest: digestToken(secret),
    });
    await refused(askToken(right, basic(clientId, secret)), 400, "invalid_request");
    const form = { grant_type: "authorization_code", code: "x", redirect_uri: redirectUri };
    await refused(askToken(form, inspector), 400, "invalid_request");
  });

  it("refuses a secret that is empty, the digest of the right one, or given twice", async () => {
    const secret = generateSecret();
    await server.directory.addUser({ name: "careful", role: "ORG_OWNER" });
    await server.credentials.setSecret({ userName: "careful", digest: digestToken(secret) });
    for (const text of ["x", digestToken(secret), `${secret} `, secret.toLowerCase()]) {
      await refused(askToken(right, basic("careful", text)), 401, "invalid_client");
    }
    await refused(askToken({ ...right, client_id: "careful", client_secret: "" }), 401, "invalid_client");
    await refused(askToken({ ...right, client_secret: secret }, basic("careful", secret)), 400, "invalid_request");
    await refused(askToken({ ...right, client_id: "inspector" }, basic("careful", secret)), 400, "invalid_request");
    expect((await askToken(right, basic("careful", secret))).status).toBe(200);
  });

  it("gives users without a secret nothing for an empty or a missing one", async () => {
    for (const fields of [{ client_id: "ada" }, { client_id: "ada", client_secret: "" }]) {
      await refused(askToken({ ...right, ...fields }), 401, "invalid_client");
    }
    await refused(askToken(right, basic("ada", digestToken(""))), 401, "invalid_client");
  });

  it.each(["authorization_code", "refresh_token", "client_credentials"])(
    "gives the client that keys of users belong to nothing by %s",
    async (grant_type) => {
      const { code, verifier } = await getCode();
      const form = { ...redeemForm({ code, verifier }), client_id: keyClientId, refresh_token: "x", grant_type };
      await refused(askToken(form), 400, "invalid_request");
    },
  );
});

describe("the assertion of a key", () => {
  let key: KeyFile;
  let victim: string;
  beforeAll(async () => {
    await server.directory.addUser({ name: "deployer", role: "IAM_OWNER" });
    key = await createKeyFile(server.credentials, { userName: "deployer" });
    victim = (await server.directory.addUser({ name: "other deployer", role: "IAM_OWNER" })).id;
  });

  const seconds = () => Math.floor(Date.now() / 1000);
  const claims = (): Record<string, unknown> => ({
    iss: key.userId,
    sub: key.userId,
    aud: server.url,
    iat: seconds(),
    exp: seconds() + 3600,
  });
  const sign = (
    payload: Record<string, unknown> = claims(),
    header: Record<string, unknown> = {},
    by: Parameters<SignJWT["sign"]>[0] = createPrivateKey(key.key),
  ) => new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid: key.keyId, ...header }).sign(by);
  const offer = (assertion: string, more: Fields = {}) =>
    askToken({ grant_type: jwtBearer, assertion, scope: apiScope, ...more });

  it("is accepted where all of it holds", async () => {
    expect((await offer(await sign())).status).toBe(200);
  });

  it.each<[string, () => Record<string, unknown>]>([
    ["speaks for another user", () => ({ ...claims(), iss: victim, sub: victim })],
    ["speaks for another user as its subject", () => ({ ...claims(), sub: victim })],
    ["is issued by another user", () => ({ ...claims(), iss: victim })],
    ["names the user instead of the id", () => ({ ...claims(), iss: "deployer", sub: "deployer" })],
    ["has no subject", () => ({ ...claims(), sub: undefined })],
    ["has no issuer", () => ({ ...claims(), iss: undefined })],
    ["is for somebody else", () => ({ ...claims(), aud: "https://other.example" })],
    ["is for an address that begins like ours", () => ({ ...claims(), aud: `${server.url}.evil.example` })],
    ["is for nobody", () => ({ ...claims(), aud: undefined })],
    ["is for an empty list", () => ({ ...claims(), aud: [] })],
    ["has ended", () => ({ ...claims(), iat: seconds() - 600, exp: seconds() - 60 })],
    ["never ends", () => ({ ...claims(), exp: undefined })],
    ["was signed more than an hour ago", () => ({ ...claims(), iat: seconds() - 3700, exp: seconds() + 3600 })],
    ["was signed in the future", () => ({ ...claims(), iat: seconds() + 60 })],
    ["does not say when it was signed", () => ({ ...claims(), iat: undefined })],
    ["does not count yet", () => ({ ...claims(), nbf: seconds() + 60 })],
    ["has times that are texts", () => ({ ...claims(), exp: "never" })],
    ["is oversized", () => ({ ...claims(), padding: "x".repeat(8192) })],
  ])("is refused where it %s", async (_, payload) => {
    // What is undefined is left out.
    await refused(offer(await sign(JSON.parse(JSON.stringify(payload())))), 400, "invalid_grant");
  });

  it.each<[string, unknown]>([
    ["is unknown", "1"],
    ["is a path", "../../../../etc/passwd"],
    ["is a query", "' OR '1'='1"],
    ["is a property of objects", "__proto__"],
    ["is empty", ""],
    ["is broken text", "\ud800"],
    ["is a number", 1],
    ["is a list", ["1"]],
    ["is missing", undefined],
  ])("is refused where the id of its key %s", async (_, kid) => {
    const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const [, , signature] = (await sign()).split(".");
    await refused(offer([encode({ alg: "RS256", kid }), encode(claims()), signature].join(".")), 400, "invalid_grant");
  });

  it("is refused without a signature, or with one by another algorithm or key", async () => {
    const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const [head, body, signature = ""] = (await sign()).split(".");
    for (const alg of ["none", "None", "NONE", ""]) {
      const unsigned = `${encode({ alg, kid: key.keyId })}.${encode(claims())}.`;
      for (const text of [unsigned, unsigned + signature]) await refused(offer(text), 400, "invalid_grant");
    }
    await refused(offer(`${head}.${body}.`), 400, "invalid_grant");
    await refused(
      offer(`${head}.${encode({ ...claims(), sub: victim, iss: victim })}.${signature}`),
      400,
      "invalid_grant",
    );

    const publicPem = createPublicKey(createPrivateKey(key.key)).export({ type: "spki", format: "pem" });
    for (const secret of [publicPem, String(publicPem).trim(), key.keyId]) {
      const bytes = new TextEncoder().encode(String(secret));
      await refused(offer(await sign(claims(), { alg: "HS256" }, bytes)), 400, "invalid_grant");
    }
    await refused(offer(await sign(claims(), { alg: "RS512" })), 400, "invalid_grant");
    await refused(offer(await sign(claims(), { alg: "PS256" })), 400, "invalid_grant");
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    await refused(offer(await sign(claims(), {}, privateKey)), 400, "invalid_grant");
    const jwk = publicKey.export({ format: "jwk" });
    await refused(offer(await sign(claims(), { jwk, jku: "https://evil.example" }, privateKey)), 400, "invalid_grant");
  });

  it("is refused where it is no assertion", async () => {
    for (const text of ["", ".", "..", "...", "a.b.c", "{}", "eyJhbGciOiJSUzI1NiJ9..", "\u0000"]) {
      const answer = await offer(text);
      expect(answer.status, text).toBe(400);
    }
    await refused(askToken({ grant_type: jwtBearer }), 400, "invalid_request");
    const twice: [string, string][] = [
      ["grant_type", jwtBearer],
      ["assertion", await sign()],
      ["assertion", await sign()],
    ];
    await refused(askToken(twice), 400, "invalid_request");
  });

  it("is refused with a key of another user, one that was removed, and one that ended", async () => {
    const foreign = await createKeyFile(server.credentials, { userName: "other deployer" });
    await refused(
      offer(await sign(claims(), { kid: foreign.keyId }, createPrivateKey(foreign.key))),
      400,
      "invalid_grant",
    );
    await refused(offer(await sign(claims(), { kid: foreign.keyId })), 400, "invalid_grant");
    const removed = await createKeyFile(server.credentials, { userName: "deployer" });
    await server.credentials.removeKey(removed.keyId);
    const ended = await createKeyFile(server.credentials, { userName: "deployer", expiresAt: Date.now() });
    for (const { keyId, key: pem } of [removed, ended]) {
      await refused(offer(await sign(claims(), { kid: keyId }, createPrivateKey(pem))), 400, "invalid_grant");
    }
  });

  it("speaks for its own user alone, whatever client is named beside it", async () => {
    const { clientId } = application;
    for (const headers of [inspector, basic("inspector", "wrong"), { authorization: "Bearer x" }]) {
      const fields = { grant_type: jwtBearer, assertion: await sign(), scope: apiScope, client_id: clientId };
      const { access_token } = await read<Tokens>(askToken(fields, headers));
      const found = await read(post("/oauth/v2/introspect", { token: access_token }, inspector));
      expect(found).toMatchObject({ active: true, sub: key.userId, client_id: keyClientId });
    }
    await refused(offer("x", { client_id: "inspector" }), 400, "invalid_grant");
  });
});

describe("what was given out", () => {
  const credentialsOf = (name: string, secret: string) =>
    read<Tokens>(askToken({ grant_type: "client_credentials", scope: apiScope }, basic(name, secret)));

  const byKey = async ({ keyId, key, userId }: KeyFile) => {
    const assertion = await new SignJWT()
      .setProtectedHeader({ alg: "RS256", kid: keyId })
      .setIssuer(userId)
      .setSubject(userId)
      .setAudience(server.url)
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(createPrivateKey(key));
    return { assertion, answer: () => askToken({ grant_type: jwtBearer, assertion, scope: `openid ${apiScope}` }) };
  };

  it("ends at once where the user is removed", async () => {
    await addUser("leaver");
    await server.credentials.setSecret({ userName: "leaver", digest: digestToken("secret") });
    const file = await createKeyFile(server.credentials, { userName: "leaver" });
    const signed = await byKey(file);
    const signedIn = await getTokens({ userName: "leaver", scope: offlineScope });
    const all = [signedIn, await credentialsOf("leaver", "secret"), await read<Tokens>(signed.answer())];
    for (const { access_token } of all) expect(await callApi(access_token)).toBe(200);
    await server.directory.removeUser("leaver");
    for (const tokens of all) await expectDead(tokens);
    await refused(askToken({ grant_type: "client_credentials" }, basic("leaver", "secret")), 401, "invalid_client");
    await refused(askToken({ grant_type: "client_credentials" }, basic(file.userId, "secret")), 401, "invalid_client");
    await refused(signed.answer(), 400, "invalid_grant");

    // Whoever gets the name later is someone else.
    await addUser("leaver");
    for (const tokens of all) await expectDead(tokens);
  });

  it("ends at once where its password, key or secret is replaced, and only that", async () => {
    await addUser("renewer");
    await server.credentials.setSecret({ userName: "renewer", digest: digestToken("first") });
    const file = await createKeyFile(server.credentials, { userName: "renewer" });
    const other = await createKeyFile(server.credentials, { userName: "renewer" });
    const signedIn = await getTokens({ userName: "renewer", scope: offlineScope });
    const bySecret = await credentialsOf("renewer", "first");
    const byFirstKey = await read<Tokens>((await byKey(file)).answer());
    const byOtherKey = await read<Tokens>((await byKey(other)).answer());

    await server.credentials.removeKey(file.keyId);
    await expectDead(byFirstKey);
    expect(await callApi(byOtherKey.access_token)).toBe(200);
    await server.credentials.setSecret({ userName: "renewer", digest: digestToken("second") });
    await expectDead(bySecret);
    expect(await callApi(signedIn.access_token)).toBe(200);
    await server.credentials.setPassword({ userName: "renewer", hash });
    await expectDead(signedIn);
    expect(await callApi(byOtherKey.access_token)).toBe(200);
    expect(await callApi((await credentialsOf("renewer", "second")).access_token)).toBe(200);
  });

  it("ends at once where the application is removed", async () => {
    const app = { ...application, clientId: await addApplication("Short-lived") };
    const tokens = await getTokens({ app, scope: offlineScope });
    const elsewhere = await getTokens();
    const code = await getCode({ app });
    await server.clients.remove(app.clientId);
    await expectDead(tokens, app);
    await refused(askToken(redeemForm(code, app)), 401, "invalid_client");
    expect(await callApi(elsewhere.access_token)).toBe(200);
  });

  it("allows no more than its user may: a role that was revoked is missing on the next call", async () => {
    await addUser("demoted");
    const { access_token } = await getTokens({ userName: "demoted" });
    expect(await callApi(access_token)).toBe(200);
    await server.directory.revokeRole({ name: "demoted", role: "IAM_OWNER" });
    expect(await callApi(access_token)).toBe(403);
    await server.directory.grantRole({ name: "demoted", role: "IAM_OWNER" });
    expect(await callApi(access_token)).toBe(200);
  });

  it("ends after an hour", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    onTestFinished(() => void vi.useRealTimers());
    const own = await start({ clock: () => Date.now() });
    await own.directory.addUser({ name: "clock", role: "IAM_OWNER" });
    await own.credentials.setSecret({ userName: "clock", digest: digestToken("secret") });
    const form = { grant_type: "client_credentials", scope: apiScope };
    const { access_token } = await read<Tokens>(post("/oauth/v2/token", form, basic("clock", "secret"), own));
    vi.setSystemTime(Date.now() + 3_599_000);
    expect(await callApi(access_token, own)).toBe(200);
    vi.setSystemTime(Date.now() + 1000);
    expect(await callApi(access_token, own)).toBe(401);
  });

  it("counts on its own instance alone", async () => {
    const own = await start({});
    const { access_token, refresh_token, id_token } = await getTokens({ scope: offlineScope });
    for (const token of [access_token, refresh_token, id_token]) expect(await callApi(token, own)).toBe(401);
    const clientId = await addApplication("Console", own);
    const answer = await post("/oauth/v2/introspect", { token: access_token, client_id: clientId }, {}, own);
    expect(await answer.json()).toEqual({ active: false });
  });

  it("opens the API only as a bearer token in the header", async () => {
    const { access_token } = await getTokens();
    const path = `${server.url}/admin/v1/policies/login`;
    expect((await fetch(`${path}?access_token=${access_token}`)).status).toBe(401);
    const search = `${server.url}/admin/v1/policies/login/second_factors/_search`;
    expect((await fetch(search, { method: "POST", body: toForm({ access_token }) })).status).toBe(401);
    for (const authorization of [
      access_token,
      `Basic ${access_token}`,
      `bearer ${access_token}`,
      `DPoP ${access_token}`,
    ]) {
      expect((await fetch(path, { headers: { authorization } })).status, authorization).toBe(401);
    }
    expect((await fetch(path, { headers: { cookie: `access_token=${access_token}` } })).status).toBe(401);
  });

  it("opens the API only where it is an access token", async () => {
    const visitor = new Attacker();
    const tokens = await getTokens({ visitor, scope: offlineScope });
    const { code } = await getCode({ visitor });
    const { url } = await openSignIn(visitor, application, "&prompt=login");
    const others = {
      idToken: tokens.id_token,
      refreshToken: tokens.refresh_token,
      code,
      session: visitor.cookie("portcullis_session"),
      signIn: new URL(url).pathname.split("/").at(-1),
      digest: digestToken(tokens.access_token),
      user: decodeJwt(tokens.id_token).sub,
    };
    for (const [name, token] of Object.entries(others)) {
      expect(token, name).toMatch(/^\S{10,}$/);
      expect(await callApi(token ?? ""), name).toBe(401);
    }
    const headers = { authorization: `Bearer ${tokens.refresh_token}` };
    expect((await fetch(`${server.url}/oidc/v1/userinfo`, { headers })).status).toBe(401);
    // Nor is a personal access token one of the issuer's.
    const personal = { authorization: `Bearer ${server.adminToken}` };
    expect((await fetch(`${server.url}/oidc/v1/userinfo`, { headers: personal })).status).toBe(401);
  });
});
