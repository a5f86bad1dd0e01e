import { createPrivateKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { KeyFile } from "../../src/auth/issuer/key-file.ts";
import { apiScope } from "../../src/wire-names.ts";
import { beginSignIn, type Page, type SignIn, signIn, Visitor } from "../fixtures/visitor.ts";
import { databasePath } from "../process/database.ts";
import { runJson, type ServerProcess, startServer, TemporaryDirectory } from "../process/portcullis.ts";

const redirectUri = "http://127.0.0.1:9/cb";
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const cookieNames = ["portcullis_session", "portcullis_sign_in", "portcullis_resume"];

const inProgress: ReadonlySet<string> = new Set(["portcullis_sign_in", "portcullis_resume"]);
/** What only the store has. */
const keptNames: ReadonlySet<string> = new Set(["password hash", "key of the issuer", "secret of the cookies"]);

/** Everything that opens something, by what it is. */
const secrets = new Map<string, Set<string>>();
/** What is an answer to a request that was refused, with its headers. */
const refusals: string[] = [];

function keep(name: string, value: string | undefined | null): string {
  if (typeof value !== "string" || value.length < 8) throw new Error(`${name} is not there`);
  secrets.set(name, (secrets.get(name) ?? new Set()).add(value));
  return value;
}

function keepRefusal(status: number, headers: Headers, text: string): void {
  if (status < 400) return;
  // A cookie is sent to the browser that it is for.
  const shown = [...headers].filter(([name]) => name !== "set-cookie");
  refusals.push(`${status} ${shown.join("\n")}\n${text}`);
}

/** A visitor whose cookies are kept as secrets. */
class Spied extends Visitor {
  override async go(url: string, init?: RequestInit): Promise<Page> {
    const page = await super.go(url, init);
    for (const line of page.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (cookieNames.includes(name) && value !== "") keep(name, value);
    }
    const { searchParams } = new URL(page.location || "x:");
    if (searchParams.has("code")) keep("code", searchParams.get("code"));
    keepRefusal(page.status, page.headers, page.text);
    return page;
  }
}

let directory: TemporaryDirectory;
let server: ServerProcess;
let application: SignIn;
let logged: string;
let stored: string;

async function post(
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
) {
  const answer = await fetch(server.url + path, { method: "POST", body: new URLSearchParams(fields), headers });
  const text = await answer.text();
  keepRefusal(answer.status, answer.headers, text);
  const body = text.startsWith("{") ? (JSON.parse(text) as Readonly<Record<string, string>>) : {};
  for (const name of ["access_token", "refresh_token", "id_token"]) {
    if (body[name] !== undefined) keep(name, body[name]);
  }
  return { status: answer.status, body };
}

async function callApi(authorization: string, path = "/admin/v1/policies/login", init: RequestInit = {}) {
  const answer = await fetch(server.url + path, { ...init, headers: { ...init.headers, authorization } });
  keepRefusal(answer.status, answer.headers, await answer.text());
  return answer.status;
}

/** Does everything that can be done with secrets, right and wrong. */
async function useEverything(data: string): Promise<void> {
  const { password } = await runJson<{ password: string }>(data, "user", "password", "admin");
  keep("password", password);
  const { id: clientId } = await runJson<{ id: string }>(
    data,
    "client",
    "add",
    "Console",
    "--redirect-uri",
    redirectUri,
  );
  const backend = await runJson<{ id: string; secret: string }>(
    data,
    ...["client", "add", "Backend", "--redirect-uri", "https://backend.example/cb", "--confidential"],
  );
  keep("client_secret", backend.secret);
  const { clientSecret } = await runJson<{ clientSecret: string }>(data, "user", "secret", "admin");
  keep("client_secret", clientSecret);
  const file = await runJson<KeyFile>(data, "key", "create", "--user", "admin");
  keep("key file", file.key);
  keep("key file", file.key.split("\n")[5]);
  const pat = await runJson<{ token: string }>(data, "token", "create", "--user", "admin");
  keep("personal access token", pat.token);
  keep("personal access token", server.adminToken);
  application = { issuer: server.url, clientId, redirectUri, scope: `openid offline_access ${apiScope}` };

  const visitor = new Spied();
  const { url } = await beginSignIn(application);
  const { location } = await visitor.go(url);
  for (const guess of ["wrong guess one", `${password}x`]) {
    keep("password", guess);
    await visitor.send(location, { username: "admin", password: guess });
    // People type it into the wrong field.
    await visitor.send(location, { username: "nobody", password: guess }, { origin: "https://evil.example" });
  }
  const { returned, verifier } = await signIn(visitor, { ...application, userName: "admin", password });
  const code = returned.searchParams.get("code") ?? "";
  keep("verifier", verifier);
  const redeem = { grant_type: "authorization_code", client_id: clientId, redirect_uri: redirectUri, code };
  const wrongVerifier = keep("verifier", "v".repeat(50));
  await post("/oauth/v2/token", { ...redeem, code_verifier: wrongVerifier });
  const { body: tokens } = await post("/oauth/v2/token", { ...redeem, code_verifier: verifier });
  const accessToken = keep("access_token", tokens["access_token"]);
  expect(await callApi(`Bearer ${accessToken}`)).toBe(200);
  const refresh = (refresh_token = "") =>
    post("/oauth/v2/token", { grant_type: "refresh_token", client_id: clientId, refresh_token });
  const { body: refreshed } = await refresh(tokens["refresh_token"]);
  expect(await callApi(`Bearer ${refreshed["access_token"]}`)).toBe(200);

  // What is sent to the wrong place, or is not known.
  for (const token of [
    refreshed["refresh_token"],
    refreshed["id_token"],
    code,
    password,
    clientSecret,
    "unknown-token",
  ]) {
    keep("token in a wrong place", token);
    await callApi(`Bearer ${token}`);
    await callApi(`Basic ${token}`);
    await callApi(`Bearer ${accessToken}`, `/admin/v1/policies/login/${token}`);
    await callApi(`Bearer ${accessToken}`, "/admin/v1/policies/login/second_factors", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ type: token }),
    });
    await post("/oauth/v2/token", {
      grant_type: token ?? "",
      client_id: clientId,
      scope: token ?? "",
      code: token ?? "",
    });
    await post("/oauth/v2/introspect", { token: token ?? "", client_id: clientId });
    await new Spied().go(`${server.url}/sign-in/${token}`);
    await new Spied().go(`${server.url}/oauth/v2/authorize?client_id=${clientId}&code_challenge=${token}`);
    await new Spied().go(`${server.url}/oidc/v1/end_session?id_token_hint=${token}`);
  }

  const basic = (secret: string) => ({ authorization: `Basic ${btoa(`admin:${secret}`)}` });
  const form = { grant_type: "client_credentials", scope: apiScope };
  expect((await post("/oauth/v2/token", form, basic(clientSecret))).status).toBe(200);
  await post("/oauth/v2/token", form, basic(keep("client_secret", "a wrong secret")));
  await post("/oauth/v2/token", { ...form, client_id: "unknown", client_secret: clientSecret });
  await post("/oauth/v2/token", { ...form, client_id: clientSecret });
  const assertion = (audience: string) =>
    new SignJWT()
      .setProtectedHeader({ alg: "RS256", kid: file.keyId })
      .setIssuer(file.userId)
      .setSubject(file.userId)
      .setAudience(audience)
      .setIssuedAt()
      .setExpirationTime("1h")
      .sign(createPrivateKey(file.key));
  for (const [audience, status] of [
    [server.url, 200],
    ["https://other.example", 400],
  ] as const) {
    const signed = keep("assertion", await assertion(audience));
    expect((await post("/oauth/v2/token", { grant_type: jwtBearer, assertion: signed, scope: apiScope })).status).toBe(
      status,
    );
    await callApi(`Bearer ${signed}`);
  }

  // Replays end the family.
  await refresh(tokens["refresh_token"]);
  await post("/oauth/v2/token", { ...redeem, code_verifier: verifier });
  expect(await callApi(`Bearer ${refreshed["access_token"]}`)).toBe(401);

  // What is still open when the store is searched: a session, tokens, a code, a sign-in, a consent.
  const { returned: again, verifier: next } = await signIn(visitor, { ...application, userName: "admin", password });
  await post("/oauth/v2/token", {
    ...redeem,
    code: again.searchParams.get("code") ?? "",
    code_verifier: keep("verifier", next),
  });
  await signIn(visitor, { ...application, userName: "admin", password });
  const { url: begun } = await beginSignIn(application);
  await visitor.go((await visitor.go(begun)).location);
  const { url: elsewhere } = await beginSignIn(application);
  await new Spied().go(elsewhere);

  // A store that fails.
  using db = new DatabaseSync(databasePath(data));
  db.exec("ALTER TABLE records RENAME TO records_away");
  // Otherwise the server answers from what it has in memory.
  db.exec("UPDATE head SET rebuilds = rebuilds + 1");
  const failed = await visitor.go((await beginSignIn(application)).url);
  const statuses = [
    failed.status,
    (await post("/oauth/v2/token", form, basic(clientSecret))).status,
    (await post("/oauth/v2/token", { ...redeem, code_verifier: next })).status,
    (await refresh(tokens["refresh_token"])).status,
    await callApi(`Bearer ${accessToken}`),
  ];
  db.exec("ALTER TABLE records_away RENAME TO records");
  for (const status of statuses) expect(status).toBeGreaterThanOrEqual(500);
}

beforeAll(async () => {
  directory = new TemporaryDirectory();
  const data = directory.join("data");
  server = await startServer({ data, flags: ["--issuer"] });
  await useEverything(data);
  const files = ["", "-wal"].map((end) => databasePath(data) + end).filter((path) => existsSync(path));
  expect(files.length).toBe(2);
  stored = files.map((path) => readFileSync(path, "latin1")).join("\n");
  keep("password hash", /\$scrypt\$[^"]+/.exec(stored)?.[0]);
  keep("key of the issuer", /"d":"([^"]+)"/.exec(stored)?.[1]);
  keep("secret of the cookies", /"cookieSecret":"([^"]+)"/.exec(stored)?.[1]);
  const { stdout, stderr } = await server.stop();
  logged = stdout + stderr;
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

/** Which of the secrets are in a text, in one of the forms that they travel in. */
function found(text: string, names: Iterable<string>): string[] {
  return [...names].flatMap((name) =>
    [...(secrets.get(name) ?? [])]
      .filter((value) =>
        [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1), btoa(value).replace(/=+$/, "")].some(
          (form) => text.includes(form),
        ),
      )
      .map((value) => `${name} ${value}`),
  );
}

describe("secrets", () => {
  it("were used, refused, and met by a failure", () => {
    expect([...secrets.keys()].sort()).toEqual([
      "access_token",
      "assertion",
      "client_secret",
      "code",
      "id_token",
      "key file",
      "key of the issuer",
      "password",
      "password hash",
      "personal access token",
      "portcullis_resume",
      "portcullis_session",
      "portcullis_sign_in",
      "refresh_token",
      "secret of the cookies",
      "token in a wrong place",
      "verifier",
    ]);
    expect(refusals.length).toBeGreaterThan(60);
    expect(logged).toContain('"level":50');
  });

  it("are in no line that the server wrote", () => {
    expect(found(logged, secrets.keys())).toEqual([]);
  });

  it("are in no answer to a request that was refused", () => {
    // The id of its own sign-in is in the page that a browser gets back.
    expect(
      found(
        refusals.join("\n"),
        [...secrets.keys()].filter((name) => !inProgress.has(name)),
      ),
    ).toEqual([]);
  });

  it("are not in the store", () => {
    // The id of a sign-in in progress is: it opens nothing without the signed cookie. Hashes and private keys have to be.
    const names = [...secrets.keys()].filter((name) => !inProgress.has(name) && !keptNames.has(name));
    expect(found(stored, names)).toEqual([]);
  });
});
