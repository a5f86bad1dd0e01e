// What the issuer refuses: the log says why, and callers learn nothing of it.
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { createKeyFile, type KeyFile } from "../../src/auth/issuer/key-file.ts";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken } from "../../src/auth/token.ts";
import { openServer } from "../../src/server.ts";
import { openStore } from "../../src/store/open.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { signIn, Visitor } from "../fixtures/visitor.ts";

const redirectUri = "http://127.0.0.1:9/cb";
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";

interface Line {
  readonly kind: string;
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

let server: TestServer;
let key: KeyFile;
const lines: Line[] = [];

beforeAll(async () => {
  server = await startTestServer({
    issuer: {},
    trustedProxies: ["127.0.0.1"],
    limitedLog: (kind, level, fields, message) => void lines.push({ kind, level, fields, message }),
  });
  await server.directory.addUser({ name: "deployer", role: "ORG_OWNER" });
  await server.directory.addUser({ name: "other", role: "ORG_OWNER" });
  key = await createKeyFile(server.credentials, { userName: "deployer" });
});
afterAll(async () => {
  await server.close();
  expect(server.failures).toEqual([]);
});
beforeEach(() => void lines.splice(0));

async function post(
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
) {
  const answer = await fetch(server.url + path, {
    method: "POST",
    headers: { "x-forwarded-for": "203.0.113.7", "x-request-id": "the-id", ...headers },
    body: new URLSearchParams(fields),
  });
  return { status: answer.status, body: await answer.text() };
}

const seconds = () => Math.floor(Date.now() / 1000);
const claims = () => ({ iss: key.userId, sub: key.userId, aud: server.url, iat: seconds(), exp: seconds() + 3600 });
const sign = (payload: Record<string, unknown>, kid: unknown = key.keyId, by = createPrivateKey(key.key)) =>
  new SignJWT(JSON.parse(JSON.stringify(payload)))
    .setProtectedHeader(JSON.parse(JSON.stringify({ alg: "RS256", kid })))
    .sign(by);

describe("a refused assertion", () => {
  it.each<[string, () => Promise<string>, string | RegExp]>([
    [
      "wrong aud",
      () => sign({ ...claims(), aud: "https://other.example/" }),
      /: aud is "https:\/\/other\.example\/", and must be exactly the issuer http:\/\/127\.0\.0\.1:\d+$/,
    ],
    ["no aud", () => sign({ ...claims(), aud: undefined }), /: aud is undefined, and must be exactly the issuer/],
    ["an aud without end", () => sign({ ...claims(), aud: "x".repeat(4000) }), /: aud is "x{199}, and must be/],
    ["unknown kid", () => sign(claims(), "42"), /: kid is not a key of this server, or that of a removed one$/],
    ["no kid", () => sign(claims(), null), /: kid is missing/],
    ["old iat", () => sign({ ...claims(), iat: seconds() - 7200 }), /: "iat" claim .* far in the past.*clocks/],
    ["iat in the future", () => sign({ ...claims(), iat: seconds() + 600 }), /: "iat" claim .* past.*clocks/],
    ["passed exp", () => sign({ ...claims(), exp: seconds() - 600 }), /: "exp" claim .*clocks/],
    ["no exp", () => sign({ ...claims(), exp: undefined }), /: missing required "exp" claim/],
    ["another sub", () => sign({ ...claims(), sub: "1" }), /: sub is not the user of key \d+/],
    ["another iss", () => sign({ ...claims(), iss: "1" }), /: unexpected "iss" claim value$/],
    [
      "another key",
      () => sign(claims(), key.keyId, generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey),
      /: signature verification failed$/,
    ],
    ["no JWT", async () => "s3cr3t", /: (it is no JWT|Invalid .*)$/],
    ["too long", async () => "x".repeat(8193), /: it has more than 8192 characters$/],
  ])("says %s in the log, and to nobody else", async (_, assertion, reason) => {
    const answer = await post("/oauth/v2/token", {
      grant_type: jwtBearer,
      assertion: await assertion(),
      scope: apiScope,
    });
    expect(answer).toEqual({
      status: 400,
      body: JSON.stringify({ error: "invalid_grant", error_description: "grant request is invalid" }),
    });
    expect(lines).toEqual([
      {
        kind: "grant refused: invalid_grant",
        level: "info",
        message: "grant refused",
        fields: {
          requestId: "the-id",
          client: "203.0.113.7",
          clientId: "portcullis-keys",
          error: "invalid_grant",
          reason: expect.stringMatching(reason),
        },
      },
    ]);
    expect(JSON.stringify(lines)).not.toContain("s3cr3t");
  });

  it("says that its key has expired", async () => {
    const { keyId, key: pem } = await createKeyFile(server.credentials, { userName: "deployer", expiresAt: 1 });
    await post("/oauth/v2/token", {
      grant_type: jwtBearer,
      assertion: await sign(claims(), keyId, createPrivateKey(pem)),
    });
    expect(lines).toMatchObject([{ fields: { reason: expect.stringMatching(/key \d+ has expired$/) } }]);
  });
});

describe("another refused request", () => {
  it("says that the verifier of PKCE is wrong, or the code unknown", async () => {
    const password = "correct horse battery";
    await server.credentials.setPassword({ userName: "other", hash: await hashPassword(password) });
    const clientId = await server.clients.add({ name: "Console", redirectUris: [redirectUri] });
    const app = { issuer: server.url, clientId, redirectUri };
    const { returned } = await signIn(new Visitor(), { ...app, userName: "other", password });
    const form = { grant_type: "authorization_code", client_id: clientId, redirect_uri: redirectUri };
    const wrong = { ...form, code: returned.searchParams.get("code") ?? "", code_verifier: "x".repeat(43) };
    expect((await post("/oauth/v2/token", wrong)).body).not.toContain("verifier");
    await post("/oauth/v2/token", { ...wrong, code: "unknown" });
    expect(lines).toMatchObject([
      { message: "grant refused", fields: { clientId, reason: "the code_verifier does not match the code_challenge" } },
      { message: "grant refused", fields: { clientId, reason: "authorization code not found" } },
    ]);
  });

  it("says that a client is unknown or its secret wrong, and repeats neither", async () => {
    await server.credentials.setSecret({ userName: "other", digest: digestToken("right") });
    const grant = { grant_type: "client_credentials", client_secret: "s3cr3t" };
    await post("/oauth/v2/token", { ...grant, client_id: "other" });
    await post("/oauth/v2/token", { ...grant, client_id: "s3cr3t" });
    await post("/oauth/v2/introspect", { token: "x", client_id: "other", client_secret: "s3cr3t" });
    await post("/oauth/v2/revoke", { token: "x", client_id: "s3cr3t" });
    expect(lines.map(({ message, fields }) => [message, fields["clientId"], fields["reason"]])).toEqual([
      ["grant refused", "other", "invalid secret provided"],
      ["grant refused", undefined, "client not found"],
      ["introspection refused", "other", "invalid secret provided"],
      ["revocation refused", undefined, "client not found"],
    ]);
    expect(JSON.stringify(lines)).not.toContain("s3cr3t");
  });

  it("says why a sign-in does not begin, and nothing where it just needs a prompt", async () => {
    const clientId = await server.clients.add({ name: "Page", redirectUris: [redirectUri] });
    const begin = (more: Readonly<Record<string, string>>) =>
      fetch(
        `${server.url}/oauth/v2/authorize?${new URLSearchParams({
          client_id: clientId,
          redirect_uri: redirectUri,
          response_type: "code",
          scope: "openid",
          code_challenge: "x".repeat(43),
          code_challenge_method: "S256",
          ...more,
        })}`,
        { redirect: "manual" },
      );
    await begin({ prompt: "none" });
    expect(lines).toEqual([]);
    await begin({ redirect_uri: "https://evil.example/cb" });
    expect(lines).toMatchObject([{ message: "sign-in refused", fields: { clientId, error: "invalid_redirect_uri" } }]);
  });
});

it("names the request of a failure that is the server's own by the id of its answer", async () => {
  const store = await openStore({ location: "memory:" });
  const report = vi.fn();
  const own = await openServer({
    store,
    listen: { host: "127.0.0.1", port: 0 },
    corsOrigins: [],
    issuer: {},
    clock: Date.now,
    report,
  });
  onTestFinished(() => own.close());
  await store.close();
  const answer = await fetch(`${own.url}/oauth/v2/keys`);
  expect(answer.status).toBe(500);
  expect(report.mock.calls).toEqual([
    [{ reason: expect.objectContaining({ code: "closed" }), requestId: answer.headers.get("x-request-id") }],
  ]);
});
