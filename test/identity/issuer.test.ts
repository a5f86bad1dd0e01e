import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { request as request1 } from "node:http";
import { connect } from "node:http2";
import { request as request1s } from "node:https";
import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { AdminService } from "../../gen/zitadel/admin_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { rotateSigningKey } from "../../src/application/issuer-keys.ts";
import { generateIssuerKeys } from "../../src/auth/issuer/generate-keys.ts";
import { createKeyFile, type KeyFile } from "../../src/auth/issuer/key-file.ts";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken, generateSecret } from "../../src/auth/token.ts";
import { apiScope } from "../../src/wire-names.ts";
import { createClients } from "../fixtures/clients.ts";
import { startTestServer, type TestServer, type TestServerOptions } from "../fixtures/server.ts";
import { beginSignIn, type Page, redeem, type SignIn, signIn, Visitor } from "../fixtures/visitor.ts";
import { makePath } from "../store/fixtures/places.ts";

const redirectUri = "http://127.0.0.1:9/cb";
const ada = { userName: "ada", password: "correct horse battery" };
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";

interface Tokens {
  readonly access_token: string;
  readonly id_token: string;
  readonly refresh_token: string;
  readonly scope: string;
  readonly token_type: string;
  readonly expires_in: number;
}

interface Discovery {
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly [name: string]: unknown;
}

let hash: string;
let server: TestServer;
let application: SignIn;
beforeAll(async () => {
  hash = await hashPassword(ada.password);
  server = await startTestServer({ issuer: {} });
  application = { issuer: server.url, clientId: await prepare(server), redirectUri };
});
afterAll(async () => {
  await server.close();
  expect(server.failures).toEqual([]);
});

/** Adds Ada, who may do everything, and a public application, whose id it resolves to. */
async function prepare({ directory, credentials, clients }: TestServer): Promise<string> {
  await directory.addUser({ name: ada.userName, role: "IAM_OWNER" });
  await credentials.setPassword({ userName: ada.userName, hash });
  return clients.add({ name: "Console", redirectUris: [redirectUri] });
}

/** A server that is closed after the test. */
async function start(options: TestServerOptions): Promise<TestServer> {
  const started = await startTestServer(options);
  onTestFinished(() => started.close());
  return started;
}

async function read<T>(response: Promise<Response>, status = 200): Promise<T> {
  const answer = await response;
  const text = await answer.text();
  expect(answer.status, text).toBe(status);
  return JSON.parse(text) as T;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString("base64")}`,
});

function post(path: string, fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) {
  return fetch(server.url + path, { method: "POST", body: new URLSearchParams(fields), headers });
}

/** The status of a call to the API. */
async function callApi(token: string, url = server.url): Promise<number> {
  const { status, body } = await fetch(`${url}/admin/v1/policies/login`, { headers: bearer(token) });
  await body?.cancel();
  return status;
}

async function isActive(token: string): Promise<boolean> {
  const { active } = await read<{ active: boolean }>(
    post("/oauth/v2/introspect", { token, client_id: application.clientId }),
  );
  return active;
}

/** A browser in which Ada is signed in: a password costs a tenth of a second. */
let usual: Visitor | undefined;

/** Goes through a whole code flow. */
async function getTokens(wanted: SignIn, given?: Visitor): Promise<Tokens> {
  usual ??= new Visitor();
  const visitor = given ?? usual;
  const { returned, verifier } = await signIn(visitor, { ...wanted, ...ada });
  return read(redeem(wanted, { code: returned.searchParams.get("code") ?? "", verifier }));
}

const refresh = ({ refresh_token }: Tokens, { issuer, clientId } = application) =>
  fetch(`${issuer}/oauth/v2/token`, {
    method: "POST",
    body: new URLSearchParams({ grant_type: "refresh_token", client_id: clientId, refresh_token }),
  });

/** A visitor that remembers every page it was given. */
class Watched extends Visitor {
  readonly pages: Page[] = [];

  override async go(url: string, init?: RequestInit): Promise<Page> {
    const page = await super.go(url, init);
    this.pages.push(page);
    return page;
  }

  /** How often it was asked for the password. */
  get askedForPassword(): number {
    return this.pages.filter(({ text }) => text.includes('name="password"')).length;
  }

  get cookieLines(): readonly string[] {
    return this.pages.flatMap(({ headers }) => headers.getSetCookie());
  }
}

describe("discovery", () => {
  it("names the issuer and exactly its own endpoints", async () => {
    const found = await read<Discovery>(fetch(`${server.url}/.well-known/openid-configuration`));
    expect(found).toMatchObject({
      issuer: server.url,
      authorization_endpoint: `${server.url}/oauth/v2/authorize`,
      token_endpoint: `${server.url}/oauth/v2/token`,
      introspection_endpoint: `${server.url}/oauth/v2/introspect`,
      revocation_endpoint: `${server.url}/oauth/v2/revoke`,
      jwks_uri: `${server.url}/oauth/v2/keys`,
      userinfo_endpoint: `${server.url}/oidc/v1/userinfo`,
      end_session_endpoint: `${server.url}/oidc/v1/end_session`,
      response_types_supported: ["code"],
      code_challenge_methods_supported: ["S256"],
      id_token_signing_alg_values_supported: ["RS256"],
      subject_types_supported: ["public"],
      token_endpoint_auth_methods_supported: ["client_secret_basic", "client_secret_post", "none"],
    });
    expect(new Set(found["scopes_supported"] as string[])).toEqual(
      new Set(["openid", "offline_access", "profile", apiScope]),
    );
    expect(new Set(found["grant_types_supported"] as string[])).toEqual(
      new Set(["authorization_code", "refresh_token", "client_credentials", jwtBearer]),
    );
    const endpoints = Object.keys(found).filter((name) => name.endsWith("_endpoint"));
    expect(endpoints).toHaveLength(6);
    expect(await read(fetch(`${server.url}/.well-known/oauth-authorization-server`))).toEqual(found);
  });

  it("publishes the public halves of its keys alone", async () => {
    const { keys } = await read<JSONWebKeySet>(fetch(`${server.url}/oauth/v2/keys`));
    expect(keys).toEqual([
      {
        kty: "RSA",
        use: "sig",
        alg: "RS256",
        e: "AQAB",
        kid: expect.stringMatching(/^\S{8,}$/),
        n: expect.stringMatching(/^\S{342}$/),
      },
    ]);
  });

  it("answers with its own URLs whatever name the request was sent to", async () => {
    const headers = {
      host: "evil.example",
      "x-forwarded-host": "evil.example",
      "x-forwarded-proto": "https",
      forwarded: "host=evil.example;proto=https",
    };
    const { port } = new URL(server.url);
    const text = await new Promise<string>((resolve, reject) => {
      const path = "/.well-known/openid-configuration";
      const sent = request1({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
        response
          .setEncoding("utf8")
          .toArray()
          .then((chunks) => resolve(chunks.join("")), reject);
      });
      sent.once("error", reject).end();
    });
    expect(text).not.toContain("evil");
    expect((JSON.parse(text) as Discovery).issuer).toBe(server.url);
  });
});

describe("the code flow", () => {
  it("signs a user in and gives an application a token for the API", async () => {
    const wanted = { ...application, scope: `openid profile ${apiScope}` };
    const nonce = "n-0S6_WzA2Mj";
    const { url, verifier, state } = await beginSignIn(wanted);
    const visitor = new Watched();
    const started = await visitor.go(`${url}&nonce=${nonce}`);
    expect([started.status, new URL(started.location).origin]).toEqual([303, server.url]);
    const shown = await visitor.go(started.location);
    expect(shown.text).toContain("Sign in to Console");
    const sent = await visitor.send(started.location, { username: ada.userName, password: ada.password });
    const finished = await visitor.go(sent.location);
    const returned = new URL(finished.location);
    expect(returned.origin + returned.pathname).toBe(redirectUri);
    expect(Object.fromEntries(returned.searchParams)).toEqual({
      code: expect.stringMatching(/^\S{43}$/),
      state,
      iss: server.url,
    });
    for (const line of visitor.cookieLines) expect(line).toMatch(/; httponly/i);
    for (const line of visitor.cookieLines) expect(line).toMatch(/; samesite=lax/i);

    const tokens = await read<Tokens>(redeem(wanted, { code: returned.searchParams.get("code") ?? "", verifier }));
    expect(tokens).toEqual({
      access_token: expect.any(String),
      id_token: expect.any(String),
      token_type: "Bearer",
      expires_in: 3600,
      scope: wanted.scope,
    });
    const keys = createLocalJWKSet(await read<JSONWebKeySet>(fetch(`${server.url}/oauth/v2/keys`)));
    const { payload } = await jwtVerify(tokens.id_token, keys, {
      issuer: server.url,
      audience: application.clientId,
      algorithms: ["RS256"],
    });
    const users = await server.directory.listUsers();
    const sub = users.find(({ name }) => name === ada.userName)?.id;
    expect(payload).toMatchObject({ sub, nonce });
    expect(await read(fetch(`${server.url}/oidc/v1/userinfo`, { headers: bearer(tokens.access_token) }))).toEqual({
      sub,
      name: ada.userName,
      preferred_username: ada.userName,
    });

    const added = await fetch(`${server.url}/admin/v1/policies/login/second_factors`, {
      method: "POST",
      headers: { ...bearer(tokens.access_token), "content-type": "application/json" },
      body: JSON.stringify({ type: "SECOND_FACTOR_TYPE_OTP_EMAIL" }),
    });
    expect(added.status).toBe(200);
    const [grpc] = createClients(server.url);
    const answer = await grpc?.call({
      method: AdminService.method.addSecondFactorToLoginPolicy,
      message: { type: SecondFactorType.OTP_SMS } as never,
      headers: bearer(tokens.access_token),
    });
    grpc?.close();
    expect(answer).toMatchObject({ code: 0 });
  });

  it("gives a token that the API refuses where its scope was not asked for", async () => {
    const { access_token, scope } = await getTokens({ ...application, scope: "openid profile" });
    expect(scope).toBe("openid profile");
    expect(await callApi(access_token)).toBe(401);
    expect((await fetch(`${server.url}/oidc/v1/userinfo`, { headers: bearer(access_token) })).status).toBe(200);
  });

  it("lets an application with a secret redeem its code by basic and by post, and not without the secret", async () => {
    const secret = generateSecret();
    const clientId = await server.clients.add({
      name: "Backend",
      redirectUris: ["https://backend.example/cb"],
      secretDigest: digestToken(secret),
    });
    const wanted = { issuer: server.url, clientId, redirectUri: "https://backend.example/cb" };
    const visitor = new Visitor();
    const attempts = [
      { headers: {}, fields: { client_id: clientId }, status: 401 },
      { headers: basic(clientId, "wrong"), fields: {}, status: 401 },
      { headers: basic(clientId, secret), fields: {}, status: 200 },
      { headers: {}, fields: { client_id: clientId, client_secret: secret }, status: 200 },
    ];
    for (const { headers, fields, status } of attempts) {
      const { returned, verifier } = await signIn(visitor, { ...wanted, ...ada });
      const code = returned.searchParams.get("code") ?? "";
      const form = {
        grant_type: "authorization_code",
        redirect_uri: wanted.redirectUri,
        code,
        code_verifier: verifier,
        ...fields,
      };
      const tokens = await read<Tokens>(post("/oauth/v2/token", form, headers), status);
      if (status === 200) expect(await callApi(tokens.access_token)).toBe(200);
    }
  });

  it("serves each kind of redirect URI that may be registered", async () => {
    const redirectUris = [
      "https://localhost:4200/cb",
      "https://app.example/cb?tenant=1",
      "http://localhost:9/cb",
      "http://127.0.0.1/cb",
      "http://[::1]:9/cb",
      "com.example.app:/cb",
      "com.example.app://cb/path",
    ];
    const visitor = new Visitor();
    for (const uri of redirectUris) {
      const clientId = await server.clients.add({ name: `App at ${uri}`, redirectUris: [uri] });
      const wanted = { issuer: server.url, clientId, redirectUri: uri };
      const { returned } = await signIn(visitor, { ...wanted, ...ada });
      expect(returned.searchParams.get("code"), uri).toMatch(/^\S{43}$/);
    }
  });

  it("serves an application with redirect URIs of several kinds", async () => {
    const redirectUris = ["https://app.example/cb", "http://127.0.0.1:4200/cb", "com.example.several:/cb"];
    const clientId = await server.clients.add({ name: "Several", redirectUris });
    const visitor = new Visitor();
    for (const uri of redirectUris) {
      const { returned } = await signIn(visitor, { issuer: server.url, clientId, redirectUri: uri, ...ada });
      expect(returned.searchParams.get("code"), uri).toMatch(/^\S{43}$/);
    }
  });

  it("returns a native application to any port of this machine", async () => {
    const wanted = { ...application, redirectUri: "http://127.0.0.1:50123/cb" };
    const { access_token } = await getTokens(wanted);
    expect(await callApi(access_token)).toBe(200);
  });
});

describe("offline access", () => {
  const offline = () => ({ ...application, scope: `openid offline_access ${apiScope}` });

  it("asks for consent, and gives a refresh token that is replaced each time it is used", async () => {
    const visitor = new Watched();
    const first = await getTokens(offline(), visitor);
    const asked = visitor.pages.filter(({ text }) => text.includes('name="decision"'));
    expect(asked).toHaveLength(1);
    expect(asked[0]?.text).toContain(`signed in as <strong><bdi>${ada.userName}</bdi>`);
    expect(visitor.askedForPassword).toBe(1);

    let tokens = first;
    for (let round = 0; round < 3; round += 1) {
      const next = await read<Tokens>(refresh(tokens));
      expect(next.refresh_token).not.toBe(tokens.refresh_token);
      expect(next.access_token).not.toBe(tokens.access_token);
      expect(await callApi(next.access_token)).toBe(200);
      tokens = next;
    }
    expect(await callApi(first.access_token)).toBe(200);
  });

  it("asks for it again where the session is still there", async () => {
    const visitor = new Watched();
    await getTokens(offline(), visitor);
    visitor.pages.length = 0;
    await getTokens(offline(), visitor);
    expect(visitor.askedForPassword).toBe(0);
    expect(visitor.pages.filter(({ text }) => text.includes('name="decision"'))).toHaveLength(1);
  });

  it("returns to the application with access_denied where the user cancels", async () => {
    const { url, state } = await beginSignIn(offline());
    const visitor = new Visitor();
    let page = await visitor.go(url);
    page = await visitor.send(page.location, { username: ada.userName, password: ada.password });
    page = await visitor.go(page.location);
    page = await visitor.send(page.location, { decision: "cancel" });
    page = await visitor.go(page.location);
    const { origin, pathname, searchParams } = new URL(page.location);
    expect(origin + pathname).toBe(redirectUri);
    expect(Object.fromEntries(searchParams)).toEqual({
      error: "access_denied",
      error_description: "the user did not agree",
      state,
      iss: server.url,
    });
  });

  it("does not refresh with a scope that was not granted", async () => {
    const tokens = await getTokens(offline());
    const fields = {
      grant_type: "refresh_token",
      client_id: application.clientId,
      refresh_token: tokens.refresh_token,
    };
    const refused = await read<{ error: string }>(post("/oauth/v2/token", { ...fields, scope: "openid profile" }), 400);
    expect(refused.error).toBe("invalid_scope");
    const less = await read<Tokens>(post("/oauth/v2/token", { ...fields, scope: "openid" }));
    expect(await callApi(less.access_token)).toBe(401);
  });
});

describe("the session", () => {
  it("signs in a second time without the password", async () => {
    const visitor = new Watched();
    await getTokens(application, visitor);
    expect(visitor.askedForPassword).toBe(1);
    const { access_token } = await getTokens(application, visitor);
    expect(visitor.askedForPassword).toBe(1);
    expect(await callApi(access_token)).toBe(200);
  });

  it("is not enough where the application asks for prompt=login", async () => {
    const visitor = new Watched();
    await getTokens(application, visitor);
    const { url } = await beginSignIn(application);
    const asked = await visitor.go(`${url}&prompt=login`);
    expect((await visitor.go(asked.location)).text).toContain('name="password"');
  });

  it("answers prompt=none with a code where there is one, and with login_required where there is none", async () => {
    const visitor = new Visitor();
    await getTokens(application, visitor);
    const { url } = await beginSignIn(application);
    const known = new URL((await visitor.go(`${url}&prompt=none`)).location);
    expect(known.searchParams.get("code")).toMatch(/^\S{43}$/);
    const unknown = new URL((await new Visitor().go(`${url}&prompt=none`)).location);
    expect(unknown.origin + unknown.pathname).toBe(redirectUri);
    expect(unknown.searchParams.get("error")).toBe("login_required");
  });

  it("changes hands where another user signs in, and the tokens of the one before end", async () => {
    const bob = { userName: "bob", password: ada.password };
    await server.directory.addUser({ name: bob.userName, role: "IAM_OWNER" });
    await server.credentials.setPassword({ userName: bob.userName, hash });
    const visitor = new Visitor();
    const before = await getTokens(application, visitor);
    const { url, verifier } = await beginSignIn({ ...application, scope: `openid profile ${apiScope}` });
    let page = await visitor.go(`${url}&prompt=login`);
    page = await visitor.send(page.location, { username: bob.userName, password: bob.password });
    page = await visitor.go(page.location);
    // A page that a browser sends at once: it ends the session of the one before.
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
    expect(xsrf, page.text).not.toBe("");
    page = await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf, logout: "yes" });
    page = await visitor.go(page.location);
    const code = new URL(page.location).searchParams.get("code") ?? "";
    const tokens = await read<Tokens>(redeem(application, { code, verifier }));
    const { name } = await read<{ name: string }>(
      fetch(`${server.url}/oidc/v1/userinfo`, { headers: bearer(tokens.access_token) }),
    );
    expect(name).toBe(bob.userName);
    expect(await callApi(before.access_token)).toBe(401);
  });

  it("ends at the end_session endpoint, with the grant and its tokens", async () => {
    const visitor = new Watched();
    const tokens = await getTokens(application, visitor);
    const query = new URLSearchParams({
      id_token_hint: tokens.id_token,
      post_logout_redirect_uri: redirectUri,
      state: "goodbye",
    });
    const asked = await visitor.go(`${server.url}/oidc/v1/end_session?${query}`);
    expect(asked.text).toContain("Sign out?");
    expect(await callApi(tokens.access_token)).toBe(200);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
    const left = await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf, logout: "yes" });
    expect(left.location).toBe(`${redirectUri}?state=goodbye`);
    expect(await callApi(tokens.access_token)).toBe(401);
    expect(await isActive(tokens.access_token)).toBe(false);
    visitor.pages.length = 0;
    await getTokens(application, visitor);
    expect(visitor.askedForPassword).toBe(1);
    expect(await callApi(tokens.access_token)).toBe(401);
  });

  it("leaves what was given for offline access when it ends", async () => {
    const visitor = new Visitor();
    const tokens = await getTokens({ ...application, scope: `openid offline_access ${apiScope}` }, visitor);
    const asked = await visitor.go(`${server.url}/oidc/v1/end_session`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
    await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf, logout: "yes" });
    expect(await callApi(tokens.access_token)).toBe(200);
    expect((await refresh(tokens)).status).toBe(200);
  });

  it("stays where the user wants to stay signed in", async () => {
    const visitor = new Watched();
    await getTokens(application, visitor);
    const asked = await visitor.go(`${server.url}/oidc/v1/end_session`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
    const stayed = await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf });
    expect(stayed.status).toBe(303);
    visitor.pages.length = 0;
    await getTokens(application, visitor);
    expect(visitor.askedForPassword).toBe(0);
  });

  it("says so where the user signs out without an application to return to", async () => {
    const visitor = new Visitor();
    await getTokens(application, visitor);
    const asked = await visitor.go(`${server.url}/oidc/v1/end_session`);
    const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
    const left = await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf, logout: "yes" });
    expect((await visitor.go(left.location)).text).toContain("You are signed out");
  });
});

describe("client credentials", () => {
  const secret = generateSecret();
  let userId: string;
  beforeAll(async () => {
    userId = (await server.directory.addUser({ name: "ci runner", role: "IAM_OWNER" })).id;
    await server.credentials.setSecret({ userName: "ci runner", digest: digestToken(secret) });
  });

  it.each([
    ["by basic, with the user's name", () => ({ headers: basic("ci runner", secret), fields: {} })],
    ["by basic, with the user's id", () => ({ headers: basic(userId, secret), fields: {} })],
    ["by post, with the user's name", () => ({ fields: { client_id: "ci runner", client_secret: secret } })],
    ["by post, with the user's id", () => ({ fields: { client_id: userId, client_secret: secret } })],
  ] as const)("get a service user a token %s", async (_, make) => {
    const { headers = {}, fields } = { headers: undefined, ...make() };
    const form = { grant_type: "client_credentials", scope: apiScope, ...fields };
    const tokens = await read<Tokens>(post("/oauth/v2/token", form, headers));
    expect(tokens).toEqual({
      access_token: expect.any(String),
      expires_in: 3600,
      scope: apiScope,
      token_type: "Bearer",
    });
    expect(await callApi(tokens.access_token)).toBe(200);
  });

  it("get a token that the API refuses where its scope was not asked for", async () => {
    const form = { grant_type: "client_credentials" };
    const { access_token } = await read<Tokens>(post("/oauth/v2/token", form, basic("ci runner", secret)));
    expect(await callApi(access_token)).toBe(401);
  });

  it("count with the newest secret alone", async () => {
    const name = "with two secrets";
    await server.directory.addUser({ name, role: "IAM_OWNER" });
    for (const text of ["first", "second"]) {
      await server.credentials.setSecret({ userName: name, digest: digestToken(text) });
    }
    const form = { grant_type: "client_credentials", scope: apiScope };
    expect((await post("/oauth/v2/token", form, basic(name, "first"))).status).toBe(401);
    expect((await post("/oauth/v2/token", form, basic(name, "second"))).status).toBe(200);
  });
});

/** What a service user signs with its key. */
function signAssertion(key: KeyFile, audience: string | string[]): Promise<string> {
  return new SignJWT()
    .setProtectedHeader({ alg: "RS256", kid: key.keyId })
    .setIssuer(key.userId)
    .setSubject(key.userId)
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(createPrivateKey(key.key));
}

describe("a key of a service user", () => {
  let key: KeyFile;
  beforeAll(async () => {
    await server.directory.addUser({ name: "deployer", role: "IAM_OWNER" });
    key = await createKeyFile(server.credentials, { userName: "deployer" });
  });

  it.each([
    ["a text", () => server.url],
    ["a list", () => [server.url]],
    ["a longer list", () => ["https://other.example", server.url]],
  ])("gets a token for what it signed, without a client, where the audience is %s", async (_, audience) => {
    const assertion = await signAssertion(key, audience());
    const scope = `openid profile ${apiScope}`;
    const tokens = await read<Tokens>(post("/oauth/v2/token", { grant_type: jwtBearer, assertion, scope }));
    expect(tokens).toEqual({ access_token: expect.any(String), expires_in: 3600, scope, token_type: "Bearer" });
    expect(await callApi(tokens.access_token)).toBe(200);
    expect(await read(fetch(`${server.url}/oidc/v1/userinfo`, { headers: bearer(tokens.access_token) }))).toEqual({
      sub: key.userId,
      name: "deployer",
      preferred_username: "deployer",
    });
  });

  it.each<[string, Readonly<Record<string, string>>, Readonly<Record<string, string>>]>([
    ["Python: no id, as text", { client_id: "None" }, {}],
    ["an id and an empty secret", { client_id: "zitadel", client_secret: "" }, {}],
    ["Ruby: an id and a secret in Basic authentication", {}, basic("zitadel", "zitadel")],
    ["an empty id", { client_id: "" }, {}],
    ["an id and a secret", { client_id: "zitadel", client_secret: "zitadel" }, {}],
    ["an empty user and secret in Basic authentication", {}, basic("", "")],
    ["another scheme", {}, bearer("x")],
  ])("gets a token beside a client that its library made up (%s)", async (_, client, headers) => {
    const form = { grant_type: jwtBearer, assertion: await signAssertion(key, server.url), scope: apiScope };
    const tokens = await read<Tokens>(post("/oauth/v2/token", { ...form, ...client }, headers));
    expect(await callApi(tokens.access_token)).toBe(200);
  });

  it("gets a token of the scopes that the issuer knows, and no refresh token", async () => {
    const assertion = await signAssertion(key, server.url);
    const scope = `openid offline_access urn:zitadel:iam:user:metadata ${apiScope}`;
    const tokens = await read<Tokens>(post("/oauth/v2/token", { grant_type: jwtBearer, assertion, scope }));
    expect(tokens.scope).toBe(`openid ${apiScope}`);
    expect(tokens.refresh_token).toBeUndefined();
  });

  it("gets a token that the API refuses where no scope was asked for", async () => {
    const assertion = await signAssertion(key, server.url);
    const { access_token } = await read<Tokens>(post("/oauth/v2/token", { grant_type: jwtBearer, assertion }));
    const refusal = read(fetch(`${server.url}/admin/v1/policies/login`, { headers: bearer(access_token) }), 401);
    await expect(refusal).resolves.toMatchObject({
      code: 16,
      message: `The access token is not for this API: request one with the scope ${apiScope} (AUTH-7fs1e)`,
    });
  });
});

describe("introspection", () => {
  const secret = generateSecret();
  const api = () => basic("resource server", secret);
  let tokens: Tokens;
  beforeAll(async () => {
    await server.directory.addUser({ name: "resource server", role: "ORG_OWNER" });
    await server.credentials.setSecret({ userName: "resource server", digest: digestToken(secret) });
    tokens = await getTokens({ ...application, scope: `openid offline_access ${apiScope}` });
  });

  it("tells a service user whom a token is about", async () => {
    const sub = (await server.directory.listUsers()).find(({ name }) => name === ada.userName)?.id;
    const found = await read(post("/oauth/v2/introspect", { token: tokens.access_token }, api()));
    expect(found).toEqual({
      active: true,
      sub,
      client_id: application.clientId,
      aud: "portcullis",
      "urn:zitadel:iam:user:resourceowner:id": server.defaultOrganization,
      "urn:zitadel:iam:org:project:roles": { IAM_OWNER: { [server.defaultOrganization]: "" } },
      iss: server.url,
      scope: tokens.scope,
      token_type: "Bearer",
      exp: expect.any(Number),
      iat: expect.any(Number),
    });
  });

  it("tells an application with a secret whom a service user's token is about", async () => {
    const clientId = await server.clients.add({
      name: "Gateway",
      redirectUris: ["https://gateway.example/cb"],
      secretDigest: digestToken(secret),
    });
    const form = { grant_type: "client_credentials", scope: apiScope };
    const { access_token } = await read<Tokens>(post("/oauth/v2/token", form, api()));
    const sub = (await server.directory.listUsers()).find(({ name }) => name === "resource server")?.id;
    const found = await read(post("/oauth/v2/introspect", { token: access_token }, basic(clientId, secret)));
    expect(found).toMatchObject({ active: true, sub, client_id: "resource server" });
  });

  it("tells an application without a secret of its own tokens alone", async () => {
    const other = await server.clients.add({ name: "Curious", redirectUris: [redirectUri] });
    const ask = (client_id: string) =>
      read<{ active: boolean }>(post("/oauth/v2/introspect", { token: tokens.access_token, client_id }));
    expect((await ask(application.clientId)).active).toBe(true);
    expect(await ask(other)).toEqual({ active: false });
  });

  it("says no more than inactive of what it does not know", async () => {
    for (const token of ["unknown", server.adminToken, tokens.id_token.slice(0, 60)]) {
      expect(await read(post("/oauth/v2/introspect", { token }, api()))).toEqual({ active: false });
    }
    expect((await post("/oauth/v2/introspect", { token: tokens.access_token })).status).toBe(400);
  });
});

describe("revocation", () => {
  const revoke = (token: string, clientId = application.clientId) =>
    post("/oauth/v2/revoke", { token, client_id: clientId });
  const offline = () => getTokens({ ...application, scope: `openid offline_access ${apiScope}` });

  it.each(["access_token", "refresh_token"] as const)("of an %s ends the whole grant", async (name) => {
    const tokens = await offline();
    const later = await read<Tokens>(refresh(tokens));
    expect((await revoke(later[name])).status).toBe(200);
    for (const { access_token } of [tokens, later]) {
      expect(await callApi(access_token)).toBe(401);
      expect(await isActive(access_token)).toBe(false);
    }
    expect((await refresh(later)).status).toBe(400);
  });

  it("of another application's token changes nothing", async () => {
    const other = await server.clients.add({ name: "Spoiler", redirectUris: [redirectUri] });
    const tokens = await offline();
    expect((await revoke(tokens.access_token, other)).status).toBe(200);
    expect((await revoke(tokens.refresh_token, other)).status).toBe(200);
    expect(await callApi(tokens.access_token)).toBe(200);
    expect((await refresh(tokens)).status).toBe(200);
  });

  it("of a service user's token ends that one", async () => {
    await server.directory.addUser({ name: "fleeting", role: "IAM_OWNER" });
    await server.credentials.setSecret({ userName: "fleeting", digest: digestToken("secret") });
    const form = { grant_type: "client_credentials", scope: apiScope };
    const get = () => read<Tokens>(post("/oauth/v2/token", form, basic("fleeting", "secret")));
    const [one, other] = [await get(), await get()];
    expect((await post("/oauth/v2/revoke", { token: one.access_token }, basic("fleeting", "secret"))).status).toBe(200);
    expect(await callApi(one.access_token)).toBe(401);
    expect(await callApi(other.access_token)).toBe(200);
  });
});

describe("rotation of the signing key", () => {
  it("signs with the new key from the next token on, and drops the old ones when told to", async () => {
    const own = await start({ issuer: {} });
    const wanted = { issuer: own.url, clientId: await prepare(own), redirectUri };
    const visitor = new Visitor();
    const published = () => read<JSONWebKeySet>(fetch(`${own.url}/oauth/v2/keys`));
    const rotate = async (atOnce: boolean) =>
      rotateSigningKey(own.store, { fresh: await generateIssuerKeys(Date.now()), atOnce });
    const kidOf = ({ id_token }: Tokens) => decodeProtectedHeader(id_token).kid;

    const before = await getTokens(wanted, visitor);
    await rotate(false);
    const after = await getTokens(wanted, visitor);
    const both = await published();
    expect(both.keys.map(({ kid }) => kid)).toEqual([kidOf(after), kidOf(before)]);
    expect(kidOf(after)).not.toBe(kidOf(before));
    for (const { id_token } of [before, after]) {
      await jwtVerify(id_token, createLocalJWKSet(both), { issuer: own.url, audience: wanted.clientId });
    }
    for (const { access_token } of [before, after]) expect(await callApi(access_token, own.url)).toBe(200);

    await rotate(true);
    const last = await getTokens(wanted, visitor);
    expect((await published()).keys.map(({ kid }) => kid)).toEqual([kidOf(last)]);
    const hint = (id_token: string) =>
      fetch(`${own.url}/oidc/v1/end_session?${new URLSearchParams({ id_token_hint: id_token })}`);
    expect((await hint(after.id_token)).status).toBe(400);
    expect((await hint(last.id_token)).status).toBe(200);
    expect(own.failures).toEqual([]);
  });

  it("keeps an earlier key published for a day", async () => {
    let now = Date.now();
    const own = await start({ issuer: {}, clock: () => now });
    const count = async () => (await read<JSONWebKeySet>(fetch(`${own.url}/oauth/v2/keys`))).keys.length;
    expect(await count()).toBe(1);
    await rotateSigningKey(own.store, { fresh: await generateIssuerKeys(now), atOnce: false });
    expect(await count()).toBe(2);
    now += 24 * 60 * 60 * 1000 - 1;
    expect(await count()).toBe(2);
    now += 1;
    expect(await count()).toBe(1);
  });
});

/** A visitor for whom a name leads to these servers in turn, as a load balancer does it. */
class Balanced extends Watched {
  readonly #name: string;
  readonly #servers: readonly { readonly url: string }[];
  #calls = 0;

  constructor(name: string, servers: readonly { readonly url: string }[]) {
    super();
    this.#name = name;
    this.#servers = servers;
  }

  override async go(url: string, init?: RequestInit): Promise<Page> {
    const { url: behind = "" } = this.#servers[this.#calls % this.#servers.length] ?? {};
    this.#calls += 1;
    const page = await super.go(url.replace(this.#name, behind), init);
    return { ...page, location: page.location.replace(behind, this.#name) };
  }
}

describe("an issuer at a URL of its own", () => {
  const url = "https://login.example";
  const application = (clientId: string) => ({
    issuer: url,
    clientId,
    redirectUri,
    scope: `openid offline_access ${apiScope}`,
  });

  async function getCode(visitor: Visitor, clientId: string) {
    const { returned, verifier } = await signIn(visitor, { ...application(clientId), ...ada });
    return { code: returned.searchParams.get("code") ?? "", verifier };
  }

  it("speaks of that URL and sets cookies for TLS alone, while a proxy sends it plain HTTP", async () => {
    const own = await start({ issuer: { url } });
    const clientId = await prepare(own);
    const found = await read<Discovery>(fetch(`${own.url}/.well-known/openid-configuration`));
    expect([found.issuer, found.jwks_uri]).toEqual([url, `${url}/oauth/v2/keys`]);
    const visitor = new Balanced(url, [own]);
    const grant = await getCode(visitor, clientId);
    const set = visitor.cookieLines.filter((line) => !line.includes("01 Jan 1970"));
    expect(set).not.toEqual([]);
    for (const line of set) expect(line).toMatch(/; secure/i);
    for (const { headers, text } of visitor.pages) {
      expect(headers.get("location") ?? "").not.toContain(own.url);
      expect(text).not.toContain(own.url);
    }
    const tokens = await read<Tokens>(redeem({ ...application(clientId), issuer: own.url }, grant));
    expect(await callApi(tokens.access_token, own.url)).toBe(200);
    const keys = createLocalJWKSet(await read<JSONWebKeySet>(fetch(`${own.url}/oauth/v2/keys`)));
    await jwtVerify(tokens.id_token, keys, { issuer: url });
    const key = await createKeyFile(own.credentials, { userName: ada.userName });
    for (const [audience, status] of [
      [url, 200],
      [own.url, 400],
    ] as const) {
      const body = new URLSearchParams({ grant_type: jwtBearer, assertion: await signAssertion(key, audience) });
      expect((await fetch(`${own.url}/oauth/v2/token`, { method: "POST", body })).status).toBe(status);
    }
    expect(own.failures).toEqual([]);
  });

  it("is served by two servers on one store alike: keys, sign-ins, codes, tokens, sessions", async () => {
    const location = `sqlite:${makePath()}`;
    const one = await start({ issuer: { url }, location });
    const other = await start({ issuer: { url }, location });
    const clientId = await prepare(one);
    const keySets = await Promise.all(
      [one, other].map((each) => read<JSONWebKeySet>(fetch(`${each.url}/oauth/v2/keys`))),
    );
    expect(keySets[0]?.keys).toHaveLength(1);
    expect(keySets[0]).toEqual(keySets[1]);

    const visitor = new Balanced(url, [one, other]);
    const at = (each: TestServer) => ({ ...application(clientId), issuer: each.url });
    const first = await read<Tokens>(redeem(at(other), await getCode(visitor, clientId)));
    for (const each of [one, other]) expect(await callApi(first.access_token, each.url)).toBe(200);
    const second = await read<Tokens>(refresh(first, at(one)));
    const third = await read<Tokens>(refresh(second, at(other)));
    expect(await callApi(third.access_token, one.url)).toBe(200);
    expect(visitor.askedForPassword).toBe(1);
    const grant = await getCode(visitor, clientId);
    expect(visitor.askedForPassword).toBe(1);
    expect((await redeem(at(one), grant)).status).toBe(200);
    expect((await redeem(at(other), grant)).status).toBe(400);
    for (const each of [one, other]) expect(await callApi(third.access_token, each.url)).toBe(401);
    expect([one.failures, other.failures]).toEqual([[], []]);
  });

  it("knows its tokens, sessions and sign-ins in progress after a restart", async () => {
    const location = `sqlite:${makePath()}`;
    const before = await startTestServer({ issuer: { url }, location });
    const clientId = await prepare(before);
    const behind = [before];
    const visitor = new Balanced(url, behind);
    const at = (each: TestServer) => ({ ...application(clientId), issuer: each.url });
    const tokens = await read<Tokens>(redeem(at(before), await getCode(visitor, clientId)));
    const pending = new Balanced(url, behind);
    const { url: begun } = await beginSignIn(application(clientId));
    const { location: form } = await pending.go(begun);
    const keys = await read<JSONWebKeySet>(fetch(`${before.url}/oauth/v2/keys`));
    await before.close();

    const after = await start({ issuer: { url }, location });
    behind[0] = after;
    expect(await read(fetch(`${after.url}/oauth/v2/keys`))).toEqual(keys);
    expect(await callApi(tokens.access_token, after.url)).toBe(200);
    expect((await refresh(tokens, at(after))).status).toBe(200);
    await getCode(visitor, clientId);
    expect(visitor.askedForPassword).toBe(1);
    const sent = await pending.send(form, { username: ada.userName, password: ada.password });
    expect(sent.status).toBe(303);
  });

  it("is gone where it is turned off, and so is what it gave out", async () => {
    const location = `sqlite:${makePath()}`;
    const before = await startTestServer({ issuer: { url }, location });
    const clientId = await prepare(before);
    const at = { ...application(clientId), issuer: before.url };
    const tokens = await read<Tokens>(redeem(at, await getCode(new Balanced(url, [before]), clientId)));
    await before.close();

    const off = await start({ location });
    expect(await callApi(tokens.access_token, off.url)).toBe(401);
    const paths = [
      "/.well-known/openid-configuration",
      "/.well-known/oauth-authorization-server",
      "/oauth/v2/authorize",
      "/oauth/v2/authorize/x",
      "/oauth/v2/keys",
      "/oidc/v1/userinfo",
      "/oidc/v1/end_session",
      "/sign-in/x",
    ];
    for (const path of paths) expect((await fetch(off.url + path)).status, path).toBe(404);
    for (const path of ["token", "introspect", "revoke"]) {
      expect((await fetch(`${off.url}/oauth/v2/${path}`, { method: "POST" })).status, path).toBe(404);
    }
  });
});

const pem = (name: string) => readFileSync(new URL(`../fixtures/tls/localhost.${name}.pem`, import.meta.url), "utf8");

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}
interface Received {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

function overHttp1(url: string, { method = "GET", headers = {}, body = "" }: Sent = {}): Promise<Received> {
  return new Promise((resolve, reject) => {
    const sent = request1s(url, { ca: pem("cert"), method, headers, agent: false }, (response) => {
      response
        .setEncoding("utf8")
        .toArray()
        .then((chunks) => {
          resolve({ status: response.statusCode, headers: response.headers, text: chunks.join("") });
        }, reject);
    });
    sent.once("error", reject).end(body);
  });
}

async function overHttp2(url: string, { method = "GET", headers = {}, body = "" }: Sent = {}): Promise<Received> {
  const { origin, pathname, search } = new URL(url);
  const session = connect(origin, { ca: pem("cert") });
  try {
    return await new Promise((resolve, reject) => {
      session.once("error", reject);
      const stream = session.request(
        { ":path": pathname + search, ":method": method, ...headers },
        { endStream: body === "" },
      );
      stream.once("error", reject);
      stream.once("response", (received) => {
        stream
          .setEncoding("utf8")
          .toArray()
          .then((chunks) => {
            resolve({ status: received[":status"], headers: received, text: chunks.join("") });
          }, reject);
      });
      if (body !== "") stream.end(body);
    });
  } finally {
    session.close();
  }
}

describe.each([
  ["HTTP/1.1", overHttp1],
  ["HTTP/2", overHttp2],
])("over TLS with %s", (_, send) => {
  let secured: TestServer;
  let clientId: string;
  beforeAll(async () => {
    secured = await startTestServer({ issuer: {}, tls: { cert: pem("cert"), key: pem("key") } });
    clientId = await prepare(secured);
  });
  afterAll(async () => {
    await secured.close();
    expect(secured.failures).toEqual([]);
  });

  it("serves discovery", async () => {
    const { status, text } = await send(`${secured.url}/.well-known/openid-configuration`);
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({ issuer: secured.url, token_endpoint: `${secured.url}/oauth/v2/token` });
    expect(secured.url).toMatch(/^https:/);
  });

  it("signs a user in with cookies for TLS alone, and gives out tokens", async () => {
    const wanted = { issuer: secured.url, clientId, redirectUri };
    const jar = new Map<string, string>();
    const cookies: string[] = [];
    const visit = async (url: string, options: Sent = {}) => {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
      const answer = await send(url, { ...options, headers: { ...options.headers, cookie } });
      for (const line of (answer.headers["set-cookie"] ?? []) as readonly string[]) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        jar.set(name, value);
        if (value !== "") cookies.push(line);
      }
      return { ...answer, location: new URL(String(answer.headers["location"] ?? ""), url).href };
    };
    const form = { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded" } };
    const { url, verifier } = await beginSignIn(wanted);
    const begun = await visit(url);
    const page = await visit(begun.location);
    expect([page.status, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.text).toContain('name="password"');
    const sent = await visit(begun.location, {
      ...form,
      body: new URLSearchParams({ username: ada.userName, password: ada.password }).toString(),
    });
    const returned = new URL((await visit(sent.location)).location);
    expect(cookies.length).toBeGreaterThan(2);
    for (const line of cookies) expect(line).toMatch(/; secure/i);

    const { status, text } = await send(`${secured.url}/oauth/v2/token`, {
      ...form,
      body: new URLSearchParams({
        grant_type: "authorization_code",
        client_id: clientId,
        redirect_uri: redirectUri,
        code: returned.searchParams.get("code") ?? "",
        code_verifier: verifier,
      }).toString(),
    });
    expect(status, text).toBe(200);
    const { access_token } = JSON.parse(text) as Tokens;
    const called = await send(`${secured.url}/admin/v1/policies/login`, { headers: bearer(access_token) });
    expect(called.status).toBe(200);
  });
});
