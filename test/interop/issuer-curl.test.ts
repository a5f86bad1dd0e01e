// curl as a client of the built-in issuer: client credentials, REST with the token, introspection and revocation.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { runJson, TemporaryDirectory } from "../process/portcullis.ts";
import { isLeftOut } from "./left-out.ts";
import { certificatePath, ports } from "./ports.ts";
import { missingProgram, run } from "./run.ts";

const ways = [
  { name: "HTTP/1.1", over: "plaintext", args: ["--http1.1"], version: "1.1" },
  { name: "HTTP/2 with prior knowledge", over: "plaintext", args: ["--http2-prior-knowledge"], version: "2" },
  { name: "HTTP/2 over TLS", over: "TLS", args: ["--http2", "--cacert", certificatePath], version: "2" },
] as const;

interface Secret {
  readonly clientId: string;
  readonly clientSecret: string;
}

describe.skipIf(isLeftOut(missingProgram("curl", /\bHTTP2\b/))).each(ways)("curl, $name", ({ over, args, version }) => {
  let directory: TemporaryDirectory;
  let server: TestServer;
  let user: Secret;

  beforeEach(async () => {
    directory = new TemporaryDirectory();
    server = await startTestServer({
      ...ports[over],
      issuer: {},
      location: `sqlite:${directory.join("portcullis.db")}`,
    });
    user = await createSecret("terraform");
  });
  afterEach(async () => {
    await server.close();
    directory[Symbol.dispose]();
    expect(server.failures).toEqual([]);
  });

  async function createSecret(name: string): Promise<Secret> {
    await runJson(directory.path, "user", "add", name, "--role", "ORG_OWNER");
    return runJson(directory.path, "user", "secret", name);
  }

  async function curl(path: string, ...more: readonly string[]) {
    const { status, stdout, stderr } = await run("curl", [
      "--disable", // whatever the user's .curlrc says
      "--silent",
      "--show-error",
      "--noproxy",
      "*",
      "--write-out",
      "\n%{http_version} %{http_code} %{content_type}",
      ...args,
      ...more,
      server.url + path,
    ]);
    if (status !== 0) throw new Error(`curl ended with ${status}: ${stderr}`);
    const end = stdout.lastIndexOf("\n");
    const [httpVersion, httpStatus, type = ""] = stdout.slice(end + 1).split(" ");
    expect(httpVersion).toBe(version);
    const text = stdout.slice(0, end);
    const body: unknown = type.startsWith("application/json") ? JSON.parse(text) : text;
    return { status: Number(httpStatus), body };
  }

  /** Posts a form as a client that names itself in the Authorization header. */
  function post(path: string, as: Secret, form: Readonly<Record<string, string>>) {
    const fields = Object.entries(form).flatMap(([name, value]) => ["--data-urlencode", `${name}=${value}`]);
    return curl(path, "--user", `${as.clientId}:${as.clientSecret}`, ...fields);
  }

  const askForToken = (as: Secret, scope = apiScope) =>
    post("/oauth/v2/token", as, { grant_type: "client_credentials", scope });

  async function getToken(as: Secret): Promise<string> {
    const { status, body } = await askForToken(as);
    expect(status).toBe(200);
    return (body as { access_token: string }).access_token;
  }

  const factorsPath = "/management/v1/policies/login/second_factors";
  const bearer = (token: string) => ["--header", `Authorization: Bearer ${token}`];
  const addFactor = (token: string, type = "SECOND_FACTOR_TYPE_OTP_SMS") =>
    curl(factorsPath, ...bearer(token), "--json", JSON.stringify({ type }));
  const listFactors = (token: string) => curl(`${factorsPath}/_search`, ...bearer(token), "--request", "POST");

  it("finds the issuer's endpoints", async () => {
    const { status, body } = await curl("/.well-known/openid-configuration");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      issuer: server.url,
      token_endpoint: `${server.url}/oauth/v2/token`,
      introspection_endpoint: `${server.url}/oauth/v2/introspect`,
      revocation_endpoint: `${server.url}/oauth/v2/revoke`,
    });
  });

  it("gets a token for a secret, adds a factor and lists it", async () => {
    const { status, body } = await askForToken(user);
    expect(status).toBe(200);
    expect(body).toEqual({
      access_token: expect.any(String),
      token_type: "Bearer",
      expires_in: 3600,
      scope: apiScope,
    });
    const token = (body as { access_token: string }).access_token;
    expect((await addFactor(token)).status).toBe(200);
    expect((await listFactors(token)).body).toMatchObject({
      result: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F", "SECOND_FACTOR_TYPE_OTP_SMS"],
    });
  });

  it("gets a token with the secret in the form", async () => {
    const { status } = await curl(
      "/oauth/v2/token",
      ...["--data", "grant_type=client_credentials", "--data", `client_id=${user.clientId}`],
      ...["--data", `client_secret=${user.clientSecret}`, "--data-urlencode", `scope=${apiScope}`],
    );
    expect(status).toBe(200);
  });

  it("gets none for a wrong secret, for an unknown name or for another user's secret", async () => {
    const other = await createSecret("other");
    for (const as of [
      { ...user, clientSecret: "wrong" },
      { ...user, clientId: "nobody" },
      { ...user, clientSecret: other.clientSecret },
    ]) {
      expect(await askForToken(as)).toMatchObject({ status: 401, body: { error: "invalid_client" } });
    }
  });

  it("has to ask for the API in the scope", async () => {
    const { status, body } = await askForToken(user, "openid");
    expect({ status, body }).toMatchObject({ status: 200, body: { scope: "openid" } });
    expect((await addFactor((body as { access_token: string }).access_token)).status).toBe(401);
  });

  it.each(["ci:bot", "ci+bot", "100%", "Jürgen Müller"])(
    "is told a client id that it can send for the user %s",
    async (name) => {
      const token = await getToken(await createSecret(name));
      expect((await listFactors(token)).status).toBe(200);
    },
  );

  it("asks whose a token is", async () => {
    const token = await getToken(user);
    const userId = (await server.directory.listUsers()).find(({ name }) => name === "terraform")?.id;
    const { status, body } = await post("/oauth/v2/introspect", user, { token });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      active: true,
      sub: userId,
      client_id: user.clientId,
      scope: apiScope,
      token_type: "Bearer",
      iss: server.url,
    });
    const unknown = await post("/oauth/v2/introspect", user, { token: "unknown" });
    expect(unknown).toEqual({ status: 200, body: { active: false } });
    const anonymous = await curl("/oauth/v2/introspect", "--data-urlencode", `token=${token}`);
    expect(anonymous).toMatchObject({ status: 400, body: { error: "invalid_request" } });
  });

  it("revokes a token, which is refused on the next call while another one works on", async () => {
    const [token, kept] = [await getToken(user), await getToken(user)];
    expect((await addFactor(token)).status).toBe(200);
    expect((await post("/oauth/v2/revoke", user, { token })).status).toBe(200);
    expect(await listFactors(token)).toMatchObject({ status: 401, body: { code: 16 } });
    expect((await post("/oauth/v2/introspect", user, { token })).body).toEqual({ active: false });
    expect((await listFactors(kept)).status).toBe(200);
    // RFC 7009, 2.2: a token that is unknown by now is no failure.
    expect((await post("/oauth/v2/revoke", user, { token })).status).toBe(200);
  });

  it("cannot revoke another user's token", async () => {
    const other = await createSecret("other");
    const token = await getToken(user);
    await post("/oauth/v2/revoke", other, { token });
    expect((await listFactors(token)).status).toBe(200);
  });

  it("loses its tokens with the secret they were given for", async () => {
    const token = await getToken(user);
    const renewed = await runJson<Secret>(directory.path, "user", "secret", "terraform");
    expect((await listFactors(token)).status).toBe(401);
    expect((await askForToken(user)).status).toBe(401);
    expect((await listFactors(await getToken(renewed))).status).toBe(200);
  });
});
