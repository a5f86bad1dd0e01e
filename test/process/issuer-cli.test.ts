import { createPrivateKey } from "node:crypto";
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { apiScope } from "../../src/wire-names.ts";
import { redeem, signIn, Visitor } from "../fixtures/visitor.ts";
import { Api } from "./api.ts";
import { readEvents } from "./database.ts";
import {
  type Ended,
  type ProcessOptions,
  runCommand,
  runJson,
  type ServerProcess,
  startServer,
  TemporaryDirectory,
} from "./portcullis.ts";

// What people and programs sign in with, changed beside a server that runs: it holds on the server's very next call.

let directory: TemporaryDirectory;
let server: ServerProcess;
let data: string;

beforeAll(async () => {
  directory = new TemporaryDirectory();
  data = directory.join("data");
  server = await startServer({ data, flags: ["--issuer"] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const run = (...args: string[]): Promise<Ended> => runCommand([...args, "--data", data]);
const json = <T>(...args: string[]): Promise<T> => runJson<T>(data, ...args);

/** The same with this text on its standard input. */
const runWithInput = (input: string, ...args: string[]): Promise<Ended> =>
  runCommand([...args, "--data", data], { under: ["sh", "-c", 'printf %s "$0" | "$@"', input] });

const digits = /^\d{18}$/;
const instant = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;
const secretText = /^[A-Za-z0-9_-]{32}$/;
const plainSuccess = (line: RegExp) => ({ exitCode: 0, signal: null, stdout: expect.stringMatching(line), stderr: "" });

function expectSentence(ended: Ended, sentence: RegExp): void {
  expect(ended).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^portcullis: [^\n]+\n$/);
  expect(ended.stderr).toMatch(sentence);
}

const addUser = (name: string, role = "ORG_OWNER") =>
  json<{ readonly id: string }>("user", "add", name, "--role", role);
const readPolicy = async (token: string) => (await new Api(server.url, token).readPolicy()).status;

interface Client {
  readonly id: string;
  readonly name: string;
  readonly secret: string | null;
}
interface KeyFile {
  readonly type: string;
  readonly keyId: string;
  readonly key: string;
  readonly userId: string;
}
interface Key {
  readonly id: string;
  readonly user: string;
  readonly created: string;
  readonly expires: string | null;
}
interface Tokens {
  readonly access_token: string;
  readonly id_token: string;
}

const redirectUri = "http://127.0.0.1:9/callback";
/** A public application. */
const addClient = (name: string) => json<Client>("client", "add", name, "--redirect-uri", redirectUri);
const listKeys = () => json<Key[]>("key", "list");

/** Signs in and gets tokens; the rejection says what the page said. */
async function getTokens(wanted: { readonly clientId: string; readonly userName: string; readonly password: string }) {
  const application = { issuer: server.url, clientId: wanted.clientId, redirectUri };
  const { returned, verifier } = await signIn(new Visitor(), { ...application, ...wanted });
  const answer = await redeem(application, { code: returned.searchParams.get("code") ?? "", verifier });
  if (answer.status !== 200) throw new Error(`no tokens: ${await answer.text()}`);
  return (await answer.json()) as Tokens;
}

async function post(
  path: string,
  form: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
) {
  const response = await fetch(server.url + path, { method: "POST", headers, body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Readonly<Record<string, unknown>> };
}

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${secret}`).toString("base64")}`,
});
const askWithSecret = ({ clientId, clientSecret }: { readonly clientId: string; readonly clientSecret: string }) =>
  post("/oauth/v2/token", { grant_type: "client_credentials", scope: apiScope }, basic(clientId, clientSecret));

/** Asks for a token as ZITADEL's SDKs do with a key file. */
async function askWithKey({ keyId, key, userId }: KeyFile) {
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg: "RS256", kid: keyId })
    .setIssuer(userId)
    .setSubject(userId)
    .setAudience(server.url)
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(createPrivateKey(key));
  const grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer";
  return post("/oauth/v2/token", { grant_type: grantType, assertion, scope: `openid ${apiScope}` });
}

describe("the commands of the issuer", () => {
  it.concurrent.each([
    [["user", "password"]],
    [["user", "password", "admin", "extra"]],
    [["user", "password", "admin", "--file"]],
    [["user", "secret"]],
    [["key", "create"]],
    [["key", "create", "--user"]],
    [["key", "remove"]],
    [["client", "add"]],
    [["client", "add", "Without a redirect"]],
    [["client", "add", "--redirect-uri", redirectUri]],
    [["client", "remove"]],
    [["issuer", "frobnicate"]],
    [["issuer", "rotate-key", "now"]],
    [["issuer", "list-keys", "--frobnicate"]],
  ])("answer %j with a sentence, where the help is, and exit code 2", async (args) => {
    const { exitCode, stdout, stderr } = await runCommand(args, { env: { PORTCULLIS_DATA: data } });
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toMatch(/^error: [^\n]+\nSee: portcullis [a-z -]+ --help\n$/);
  });

  it.concurrent.each([
    ["a password of an unknown user", ["user", "password", "nobody"], /no user named nobody/],
    ["a secret of an unknown user", ["user", "secret", "nobody"], /no user named nobody/],
    ["a key of an unknown user", ["key", "create", "--user", "nobody"], /no user named nobody/],
    ["a key with an odd span", ["key", "create", "--user", "admin", "--expires", "soon"], /--expires.*30d.*"soon"/],
    ["an unknown key to be removed", ["key", "remove", "42"], /no key 42/],
    ["an unknown application to be removed", ["client", "remove", "42"], /no application 42/],
    [
      "a password from a file that is not there",
      ["user", "password", "admin", "--file", "/nowhere/x"],
      /--file.*ENOENT/,
    ],
    ["a password from a directory", ["user", "password", "admin", "--file", "/"], /--file.*EISDIR/],
    ...[
      "http://app.example/callback",
      "https://app.example/callback#part",
      "https://*.example/callback",
      "https:///callback",
      "/callback",
      "app:callback",
      "javascript:alert(1)",
      "http://localhost.example/callback",
      "http://127.0.0.1@app.example/callback",
      "https://app.example/a b",
    ].map(
      (uri) => [`the redirect URI ${uri}`, ["client", "add", "Bad", "--redirect-uri", uri], /redirect URI is/] as const,
    ),
    [
      "a bad redirect URI among good ones",
      ["client", "add", "Bad", "--redirect-uri", redirectUri, "--redirect-uri", "http://app.example/"],
      /http:\/\/app\.example\/$/m,
    ],
    ["an application's name with a space at its end", ["client", "add", "Bad ", "--redirect-uri", redirectUri], /name/],
  ] as const)("do not allow %s, and say so in one sentence with exit code 1", async (_, args, sentence) => {
    expectSentence(await run(...args), sentence);
    const written = readEvents(data).filter(({ payload }) => JSON.stringify(payload).includes('"Bad'));
    expect(written).toEqual([]);
  });

  it.concurrent("say that there is no store rather than make one", async () => {
    for (const args of [
      ["user", "secret", "admin"],
      ["key", "list"],
      ["client", "list"],
      ["issuer", "list-keys"],
      ["issuer", "rotate-key"],
    ]) {
      expectSentence(await runCommand([...args, "--data", directory.join("nowhere")]), /there is no store at/);
    }
  });
});

describe("user password", () => {
  it.concurrent("prints a new password once, with which the user signs in at once", async () => {
    const { id: clientId } = await addClient("Password");
    await addUser("ada");
    const ended = await run("user", "password", "ada");
    expect(ended).toEqual(plainSuccess(/^[A-Za-z0-9_-]{32}\n$/));
    const password = ended.stdout.trimEnd();
    const { access_token } = await getTokens({ clientId, userName: "ada", password });
    expect(await readPolicy(access_token)).toBe(200);
    const events = readEvents(data);
    expect(JSON.stringify(events)).not.toContain(password);
    expect(events.find(({ type }) => type === "PasswordSet")?.actor).toBe("cli");
  });

  it.concurrent("prints the password in JSON", async () => {
    await addUser("json");
    expect(await json("user", "password", "json")).toEqual({
      name: "json",
      password: expect.stringMatching(secretText),
    });
  });

  it.concurrent.each([
    ["a line break", "a pass phrase of words\n", "a pass phrase of words"],
    ["a line break of Windows", "a pass phrase of words\r\n", "a pass phrase of words"],
    ["no line break", " spaces at both ends ", " spaces at both ends "],
    ["other letters", "Schönes Wetter heute\n", "Schönes Wetter heute"],
  ])("takes one from a file that ends with %s, and does not print it", async (end, content, password) => {
    const userName = `filed, ${end}`;
    const { id: clientId } = await addClient(userName);
    await addUser(userName);
    const file = directory.join(`password, ${end}`);
    writeFileSync(file, content);
    expect(await run("user", "password", userName, "--file", file)).toEqual(
      plainSuccess(new RegExp(`^set the password of ${userName}\n$`)),
    );
    expect(await readPolicy((await getTokens({ clientId, userName, password })).access_token)).toBe(200);
    expect(await json("user", "password", userName, "--file", file)).toEqual({ name: userName });
  });

  it.concurrent("takes one from standard input", async () => {
    const { id: clientId } = await addClient("Piped");
    await addUser("piped");
    const password = "piped pass phrase";
    expect(await runWithInput(`${password}\n`, "user", "password", "piped", "--file", "-")).toEqual(
      plainSuccess(/^set the password of piped\n$/),
    );
    expect(await readPolicy((await getTokens({ clientId, userName: "piped", password })).access_token)).toBe(200);
  });

  it.concurrent("refuses one that is too short or too long, without repeating it", async () => {
    await addUser("short");
    const before = readEvents(data).filter(({ type }) => type === "UserAdded").length;
    for (const [input, sentence] of [
      ["", /at least 12 characters/],
      ["\n", /at least 12 characters/],
      ["elevenchars\n", /at least 12 characters/],
      ["x".repeat(1025), /longer than 1024 bytes/],
    ] as const) {
      const ended = await runWithInput(input, "user", "password", "short", "--file", "-");
      expectSentence(ended, sentence);
      if (input.trim() !== "") expect(ended.stderr).not.toContain(input.trim());
    }
    const { id = "" } =
      (await json<{ id: string; name: string }[]>("user", "list")).find(({ name }) => name === "short") ?? {};
    expect(before).toBeGreaterThan(0);
    expect(readEvents(data).filter(({ aggregateId, type }) => aggregateId === id && type === "PasswordSet")).toEqual(
      [],
    );
  });

  it.concurrent("says in one sentence that standard input cannot be read", async () => {
    const ended = await runCommand(["user", "password", "admin", "--file", "-", "--data", data], {
      under: ["sh", "-c", 'exec "$@" </', "sh"],
    });
    expectSentence(ended, /EISDIR/);
  });

  it.concurrent("replaces the one before, and ends the tokens that it had led to", async () => {
    const { id: clientId } = await addClient("Replaced");
    await addUser("changer");
    const first = await json<{ password: string }>("user", "password", "changer");
    const { access_token } = await getTokens({ clientId, userName: "changer", password: first.password });
    expect(await readPolicy(access_token)).toBe(200);
    const second = await json<{ password: string }>("user", "password", "changer");
    expect(await readPolicy(access_token)).toBe(401);
    await expect(getTokens({ clientId, userName: "changer", password: first.password })).rejects.toThrow(
      /401.*Error: /s,
    );
    const renewed = await getTokens({ clientId, userName: "changer", password: second.password });
    expect(await readPolicy(renewed.access_token)).toBe(200);
  });
});

describe("user secret", () => {
  it.concurrent("prints a client id and a secret, which get a token at once", async () => {
    await addUser("robot");
    const ended = await run("user", "secret", "robot");
    expect(ended).toEqual(plainSuccess(/^client id: robot\nclient secret: [A-Za-z0-9_-]{32}\n$/));
    const clientSecret = /secret: (.+)\n/.exec(ended.stdout)?.[1] ?? "";
    const { status, body } = await askWithSecret({ clientId: "robot", clientSecret });
    expect(status).toBe(200);
    expect(await readPolicy(String(body["access_token"]))).toBe(200);
    expect(JSON.stringify(readEvents(data))).not.toContain(clientSecret);
  });

  it.concurrent("names the user's id where clients could not send the name", async () => {
    const { id } = await addUser("Jürgen Müller");
    const secret = await json<{ clientId: string; clientSecret: string }>("user", "secret", "Jürgen Müller");
    expect(secret).toEqual({ clientId: id, clientSecret: expect.stringMatching(secretText) });
    expect((await askWithSecret(secret)).status).toBe(200);
  });

  it.concurrent("replaces the one before, and ends the tokens that it had led to", async () => {
    await addUser("rotator");
    const first = await json<{ clientId: string; clientSecret: string }>("user", "secret", "rotator");
    const token = String((await askWithSecret(first)).body["access_token"]);
    expect(await readPolicy(token)).toBe(200);
    const second = await json<{ clientId: string; clientSecret: string }>("user", "secret", "rotator");
    expect(await readPolicy(token)).toBe(401);
    expect(await askWithSecret(first)).toMatchObject({ status: 401, body: { error: "invalid_client" } });
    expect((await askWithSecret(second)).status).toBe(200);
  });

  it.concurrent("ends with its user", async () => {
    await addUser("leaving");
    const secret = await json<{ clientId: string; clientSecret: string }>("user", "secret", "leaving");
    const token = String((await askWithSecret(secret)).body["access_token"]);
    await json("user", "remove", "leaving");
    expect(await readPolicy(token)).toBe(401);
    expect((await askWithSecret(secret)).status).toBe(401);
  });
});

describe("key", () => {
  it.concurrent("creates a key in ZITADEL's form and prints it, which gets a token at once", async () => {
    const { id: userId } = await addUser("printed");
    const ended = await run("key", "create", "--user", "printed");
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    const file = JSON.parse(ended.stdout) as KeyFile;
    expect(ended.stdout).toBe(`${JSON.stringify(file, null, 2)}\n`);
    expect(Object.entries(file)).toEqual([
      ["type", "serviceaccount"],
      ["keyId", expect.stringMatching(digits)],
      [
        "key",
        expect.stringMatching(
          /^-----BEGIN RSA PRIVATE KEY-----\n[\w+/=\n]{1500,1700}\n-----END RSA PRIVATE KEY-----\n$/,
        ),
      ],
      ["userId", userId],
    ]);
    const { status, body } = await askWithKey(file);
    expect(status).toBe(200);
    expect(await readPolicy(String(body["access_token"]))).toBe(200);
    expect(JSON.stringify(readEvents(data))).not.toContain("PRIVATE KEY");
  });

  it.concurrent("writes the same to a file that only its owner can read", async () => {
    const { id: userId } = await addUser("filed");
    const out = directory.join("filed.json");
    // Without a umask every bit that is asked for is given.
    const ended = await runCommand(["key", "create", "--user", "filed", "--out", out, "--data", data], {
      under: ["sh", "-c", 'umask 0; exec "$@"', "sh"],
    });
    const text = readFileSync(out, "utf8");
    const file = JSON.parse(text) as KeyFile;
    expect(ended).toEqual(plainSuccess(new RegExp(`^wrote key ${file.keyId} to ${out}\n$`)));
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(text).toBe(`${JSON.stringify(file, null, 2)}\n`);
    expect(Object.keys(file)).toEqual(["type", "keyId", "key", "userId"]);
    expect(file).toMatchObject({ type: "serviceaccount", userId });
    expect((await askWithKey(file)).status).toBe(200);
  });

  it.concurrent("does not print the key where it is written to a file", async () => {
    const { id: userId } = await addUser("quiet");
    const out = directory.join("quiet.json");
    const printed = await json<KeyFile>("key", "create", "--user", "quiet", "--out", out);
    const { keyId } = JSON.parse(readFileSync(out, "utf8")) as KeyFile;
    expect(printed).toEqual({ keyId, userId, file: out });
  });

  it.concurrent.each([
    ["is there already", (path: string) => writeFileSync(path, "mine"), /EEXIST/],
    ["is a directory", (path: string) => mkdirSync(path), /EEXIST|EISDIR/],
    ["is a link to nothing", (path: string) => symlinkSync("/nowhere/at/all", path), /EEXIST/],
    ["is in a directory that is not there", undefined, /ENOENT/],
  ] as const)("refuses a file that %s, and then leaves no key behind", async (name, make, reason) => {
    const userName = `refused, ${name}`;
    await addUser(userName);
    const out = make === undefined ? directory.join("missing", "key.json") : directory.join(userName);
    make?.(out);
    expectSentence(await run("key", "create", "--user", userName, "--out", out), reason);
    expect((await listKeys()).filter(({ user }) => user === userName)).toEqual([]);
    if (name === "is there already") expect(readFileSync(out, "utf8")).toBe("mine");
    // The user can be given one after that.
    expect((await askWithKey(await json<KeyFile>("key", "create", "--user", userName))).status).toBe(200);
  });

  it.concurrent("lists keys with their users, and never the keys themselves", async () => {
    await addUser("owner of two");
    const [first, second] = [
      await json<KeyFile>("key", "create", "--user", "owner of two"),
      await json<KeyFile>("key", "create", "--user", "owner of two", "--expires", "90d"),
    ];
    const all = (await listKeys()).filter(({ user }) => user === "owner of two");
    expect(all).toEqual([
      { id: first.keyId, user: "owner of two", created: expect.stringMatching(instant), expires: null },
      {
        id: second.keyId,
        user: "owner of two",
        created: expect.stringMatching(instant),
        expires: expect.stringMatching(instant),
      },
    ]);
    const [, limited] = all;
    const span = Date.parse(limited?.expires ?? "") - Date.parse(limited?.created ?? "");
    // Its end is reckoned before the key is made and kept.
    expect(span).toBeLessThanOrEqual(90 * 86_400_000);
    expect(span).toBeGreaterThan(90 * 86_400_000 - 60_000);
    const { stdout } = await run("key", "list");
    expect(stdout).toMatch(/^ID +USER +CREATED +EXPIRES\n/);
    expect(stdout).toMatch(new RegExp(`^${first.keyId} +owner of two +\\S+Z +never$`, "m"));
    expect(stdout).not.toContain("KEY-----");
  });

  it.concurrent("removes a key: its tokens are refused on the next call, and it gets no more", async () => {
    await addUser("keeper");
    const lost = await json<KeyFile>("key", "create", "--user", "keeper");
    const kept = await json<KeyFile>("key", "create", "--user", "keeper");
    const tokenOf = async (file: KeyFile) => String((await askWithKey(file)).body["access_token"]);
    const [lostToken, keptToken] = [await tokenOf(lost), await tokenOf(kept)];
    expect(await readPolicy(lostToken)).toBe(200);
    expect(await run("key", "remove", lost.keyId)).toEqual(plainSuccess(new RegExp(`^removed key ${lost.keyId}\n$`)));
    expect(await readPolicy(lostToken)).toBe(401);
    expect(await askWithKey(lost)).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
    expect(await readPolicy(keptToken)).toBe(200);
    expect((await listKeys()).map(({ id }) => id)).not.toContain(lost.keyId);
    expectSentence(await run("key", "remove", lost.keyId), /no key \d+/);
  });

  it.concurrent("gets tokens until it expires and not after", async () => {
    await addUser("brief");
    const file = await json<KeyFile>("key", "create", "--user", "brief", "--expires", "8s");
    const expiresAt = Date.parse((await listKeys()).find(({ id }) => id === file.keyId)?.expires ?? "");
    const statuses = new Set<number>();
    const isOver = async () => {
      const askedAt = Date.now();
      const { status } = await askWithKey(file);
      statuses.add(status);
      if (Date.now() < expiresAt) expect(status).toBe(200);
      if (askedAt >= expiresAt) expect(status).toBe(400);
      return askedAt >= expiresAt;
    };
    await vi.waitUntil(isOver, { timeout: 30_000, interval: 200 });
    expect(statuses).toEqual(new Set([200, 400]));
  });
});

describe("client", () => {
  it.concurrent("registers an application without a secret, where people sign in at once", async () => {
    const added = await addClient("Public");
    expect(added).toEqual({ id: expect.stringMatching(digits), name: "Public", secret: null });
    await addUser("visitor");
    const { password } = await json<{ password: string }>("user", "password", "visitor");
    const { access_token } = await getTokens({ clientId: added.id, userName: "visitor", password });
    expect(await readPolicy(access_token)).toBe(200);
  });

  it.concurrent("registers one with a secret, without which its code is worth nothing", async () => {
    const ended = await run("client", "add", "Confidential", "--redirect-uri", redirectUri, "--confidential");
    expect(ended).toEqual(plainSuccess(/^client id: \d{18}\nclient secret: [A-Za-z0-9_-]{32}\n$/));
    const [, clientId = "", secret = ""] = /id: (\d+)\n.*secret: (.+)\n/.exec(ended.stdout) ?? [];
    expect(JSON.stringify(readEvents(data))).not.toContain(secret);
    await addUser("guest");
    const { password } = await json<{ password: string }>("user", "password", "guest");
    const application = { issuer: server.url, clientId, redirectUri };
    const begin = async () => {
      const { returned, verifier } = await signIn(new Visitor(), { ...application, userName: "guest", password });
      return { code: returned.searchParams.get("code") ?? "", verifier };
    };
    expect((await redeem(application, await begin())).status).toBeGreaterThanOrEqual(400);
    const { code, verifier } = await begin();
    const form = { grant_type: "authorization_code", redirect_uri: redirectUri, code, code_verifier: verifier };
    expect((await post("/oauth/v2/token", form, basic(clientId, "wrong"))).status).toBe(401);
    expect((await post("/oauth/v2/token", form, basic(clientId, secret))).status).toBe(200);
  });

  it.concurrent("takes several redirect URIs, each with its flag, before and after the name", async () => {
    const uris = ["https://app.example/callback", "com.example.app:/callback", "http://[::1]:3000/"] as const;
    await json("client", "add", ...uris.flatMap((uri) => ["--redirect-uri", uri]), "Together");
    await json("client", "add", "Apart", ...uris.flatMap((uri) => ["--redirect-uri", uri]), "--confidential");
    const all = await json<{ name: string }[]>("client", "list");
    const redirectUris = [...uris];
    expect(all.filter(({ name }) => name === "Together" || name === "Apart")).toEqual([
      { id: expect.stringMatching(digits), name: "Together", redirectUris, isConfidential: false },
      { id: expect.stringMatching(digits), name: "Apart", redirectUris, isConfidential: true },
    ]);
    const { stdout } = await run("client", "list");
    expect(stdout).toMatch(/^ID +NAME +SECRET +REDIRECT URIS\n/);
    expect(stdout).toMatch(/^\d+ +Apart +yes +https:\/\/app\.example\/callback /m);
    expect(stdout).toMatch(/^\d+ +Together +no +/m);
  });

  it.concurrent("refuses a name that is taken", async () => {
    await addClient("Twice");
    expectSentence(await run("client", "add", "Twice", "--redirect-uri", redirectUri), /application named Twice/);
  });

  it.concurrent("removes an application: its tokens are refused on the next call, and nobody signs in there", async () => {
    const { id: clientId } = await addClient("Going");
    const { id: other } = await addClient("Staying");
    await addUser("regular");
    const { password } = await json<{ password: string }>("user", "password", "regular");
    const wanted = { userName: "regular", password };
    const { access_token } = await getTokens({ ...wanted, clientId });
    const kept = await getTokens({ ...wanted, clientId: other });
    expect(await readPolicy(access_token)).toBe(200);
    expect(await run("client", "remove", clientId)).toEqual(plainSuccess(/^removed application \d+\n$/));
    expect(await readPolicy(access_token)).toBe(401);
    await expect(getTokens({ ...wanted, clientId })).rejects.toThrow(/stopped with 400/);
    expect(await readPolicy(kept.access_token)).toBe(200);
    expect((await json<Client[]>("client", "list")).map(({ id }) => id)).not.toContain(clientId);
    expectSentence(await run("client", "remove", clientId), /no application/);
  });
});

describe("issuer", () => {
  interface SigningKey {
    readonly kid: string;
    readonly created: string;
    readonly replaced: string | null;
  }

  it("rotates the key that signs, and drops the earlier ones at once where it should", async () => {
    using own = new TemporaryDirectory();
    await using issuer = await startServer({ data: own.path, flags: ["--issuer"] });
    const list = () => runJson<SigningKey[]>(own.path, "issuer", "list-keys");
    const published = async () => {
      const { keys } = (await (await fetch(`${issuer.url}/oauth/v2/keys`)).json()) as {
        keys: Record<string, string>[];
      };
      for (const key of keys) expect(Object.keys(key).sort()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
      return keys.map(({ kid }) => kid);
    };

    expect(await list()).toEqual([]);
    const [first = ""] = await published();
    expect(await list()).toEqual([{ kid: first, created: expect.stringMatching(instant), replaced: null }]);

    const ended = await runCommand(["issuer", "rotate-key", "--data", own.path]);
    expect(ended).toEqual(plainSuccess(/^key \S+ signs new ID tokens\n$/));
    const second = /^key (\S+)/.exec(ended.stdout)?.[1] ?? "";
    expect(second).not.toBe(first);
    expect(await published()).toEqual([second, first]);
    expect(await list()).toEqual([
      { kid: second, created: expect.stringMatching(instant), replaced: null },
      { kid: first, created: expect.stringMatching(instant), replaced: expect.stringMatching(instant) },
    ]);
    const { stdout } = await runCommand(["issuer", "list-keys", "--data", own.path]);
    expect(stdout).toMatch(/^KEY +CREATED +REPLACED\n/);
    expect(stdout).toMatch(new RegExp(`^${second} +\\S+Z +signs$`, "m"));

    const atOnce = await runJson<{ kid: string; published: number }>(own.path, "issuer", "rotate-key", "--at-once");
    expect(atOnce).toEqual({ kid: expect.any(String), published: 1 });
    expect(await published()).toEqual([atOnce.kid]);
    expect(await list()).toEqual([{ kid: atOnce.kid, created: expect.stringMatching(instant), replaced: null }]);
    expect(JSON.stringify(readEvents(own.path))).not.toMatch(/"(?:d|p|q)":/);
  });

  it("signs with the new key from the next ID token on", async () => {
    using own = new TemporaryDirectory();
    await using issuer = await startServer({ data: own.path, flags: ["--issuer"] });
    const { id: clientId } = await runJson<Client>(own.path, "client", "add", "Console", "--redirect-uri", redirectUri);
    const { password } = await runJson<{ password: string }>(own.path, "user", "password", "admin");
    const application = { issuer: issuer.url, clientId, redirectUri };
    const visitor = new Visitor();
    const kidOfNext = async () => {
      const { returned, verifier } = await signIn(visitor, { ...application, userName: "admin", password });
      const answer = await redeem(application, { code: returned.searchParams.get("code") ?? "", verifier });
      const { id_token: idToken } = (await answer.json()) as Tokens;
      return (JSON.parse(Buffer.from(idToken.split(".")[0] ?? "", "base64url").toString()) as { kid: string }).kid;
    };
    const [before] = await runJson<SigningKey[]>(own.path, "issuer", "list-keys");
    expect(before).toBeUndefined();
    const first = await kidOfNext();
    const { kid } = await runJson<{ kid: string }>(own.path, "issuer", "rotate-key");
    expect(kid).not.toBe(first);
    // The session at the issuer outlives the key.
    expect(await kidOfNext()).toBe(kid);
    expect(visitor.cookieNames).toContain("portcullis_session");
  });

  it("keeps its keys when the server starts again", async () => {
    using own = new TemporaryDirectory();
    const kids = async ({ url }: ServerProcess) =>
      ((await (await fetch(`${url}/oauth/v2/keys`)).json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);
    const first = await startServer({ data: own.path, flags: ["--issuer"] });
    const before = await kids(first);
    await first.stop();
    await using second = await startServer({ data: own.path, flags: ["--issuer"] });
    expect(await kids(second)).toEqual(before);
  });
});

describe("serve", () => {
  /** Runs `serve`, which must not start. */
  const serve = (flags: readonly string[], options: ProcessOptions = {}) =>
    runCommand(["serve", "--listen", "127.0.0.1:0", "--data", directory.join("never"), ...flags], options);

  const metadata = async (url: string) =>
    (await (await fetch(`${url}/.well-known/openid-configuration`)).json()) as Readonly<Record<string, string>>;

  const adminToken = "t".repeat(40);
  const everyAddress = ["--listen", "0.0.0.0:0"];
  const notAnOrigin = /--issuer must be an origin/;
  it.concurrent.for<readonly [string, readonly string[], RegExp, ProcessOptions?]>([
    ["--issuer without a URL on 0.0.0.0", [...everyAddress, "--issuer"], /--issuer needs a URL/],
    ["--issuer without a URL on [::]", ["--listen", "[::]:0", "--issuer"], /--issuer needs a URL/],
    ["PORTCULLIS_ISSUER=true on 0.0.0.0", everyAddress, /--issuer needs a URL/, { env: { PORTCULLIS_ISSUER: "true" } }],
    ["an issuer over plain http elsewhere", ["--issuer", "http://login.example"], notAnOrigin],
    ["an issuer with a slash at its end", ["--issuer", "https://login.example/"], notAnOrigin],
    ["an issuer with a path", ["--issuer", "https://login.example/path"], notAnOrigin],
    ["an issuer with a query", ["--issuer", "https://login.example?x"], notAnOrigin],
    ["an issuer without a scheme", ["--issuer", "login.example"], notAnOrigin],
    ["an issuer of another scheme", ["--issuer", "ftp://login.example"], notAnOrigin],
    ["an issuer in the environment that is none", [], notAnOrigin, { env: { PORTCULLIS_ISSUER: "yes" } }],
    ["--dev on 0.0.0.0", [...everyAddress, "--dev"], /--dev works only on a loopback address/],
    ["--dev on [::]", ["--listen", "[::]:0", "--dev"], /--dev works only on a loopback address/],
    ["--dev on another address", ["--listen", "192.0.2.1:0", "--dev"], /--dev works only on a loopback address/],
    [
      "a trusted proxy that is a name",
      ["--trusted-proxy", "proxy.example"],
      /--trusted-proxy: "proxy\.example" is neither/,
    ],
    ["a trusted range that is too narrow", ["--trusted-proxy", "10.0.0.0/33"], /--trusted-proxy: .*0 to 32/],
    ["one bad trusted proxy of several", ["--trusted-proxy", "10.0.0.1, x"], /--trusted-proxy: "x" is neither/],
    [
      "a bad trusted proxy in the environment",
      [],
      /--trusted-proxy: "x" is neither/,
      { env: { PORTCULLIS_TRUSTED_PROXY: "x" } },
    ],
    ["an outside issuer over plain http", ["--oidc-issuer", "http://login.example"], /--oidc-issuer must begin/],
    ["an unknown setting of one", ["--oidc-issuer", "https://a.example,color=red"], /audience=TEXT.*part 1/],
    ["a setting without its value", ["--oidc-issuer", "https://a.example,audience"], /audience=TEXT.*check audience/],
    [
      "a setting given twice",
      ["--oidc-issuer", "https://a.example,audience=a,audience=b"],
      /each once.*check audience/,
    ],
    ["a secret as it is", ["--oidc-issuer", "https://a.example,client-id=x,client-secret=y"], /takes no secret/],
    ["a client id without a secret", ["--oidc-issuer", "https://a.example,client-id=x"], /go together/],
    [
      "a secret file that is not there",
      ["--oidc-issuer", "https://a.example,client-id=x,client-secret-file=/nowhere/secret"],
      /client-secret-file cannot be read \(ENOENT\)/,
    ],
    ["one outside issuer twice", ["--oidc-issuer", "https://a.example", "--oidc-issuer", "https://a.example"], /twice/],
    [
      "one outside issuer twice in the environment",
      [],
      /https:\/\/a\.example twice/,
      { env: { PORTCULLIS_OIDC_ISSUER: "https://a.example https://a.example,audience=x" } },
    ],
    [
      "two admin tokens",
      [],
      /not both/,
      { env: { PORTCULLIS_ADMIN_TOKEN: adminToken, PORTCULLIS_ADMIN_TOKEN_FILE: "/nowhere/token" } },
    ],
    [
      "a file of the admin token that is not there",
      [],
      /PORTCULLIS_ADMIN_TOKEN_FILE cannot be read \(ENOENT\)/,
      { env: { PORTCULLIS_ADMIN_TOKEN_FILE: "/nowhere/token" } },
    ],
    [
      "a file without a token in it",
      [],
      /PORTCULLIS_ADMIN_TOKEN.*at least 32 characters/,
      { env: { PORTCULLIS_ADMIN_TOKEN_FILE: "/dev/null" } },
    ],
  ])("refuses %s, once and before it makes anything", async ([, flags, sentence, options]) => {
    expectSentence(await serve(flags, options), sentence);
    expect(() => statSync(directory.join("never"))).toThrow("ENOENT");
  });

  it.concurrent("serves no issuer without being told to, and then takes none of its tokens", async () => {
    using own = new TemporaryDirectory();
    const first = await startServer({ data: own.path, flags: ["--issuer"] });
    const secret = await runJson<{ clientId: string; clientSecret: string }>(own.path, "user", "secret", "admin");
    const answer = await fetch(`${first.url}/oauth/v2/token`, {
      method: "POST",
      headers: basic(secret.clientId, secret.clientSecret),
      body: new URLSearchParams({ grant_type: "client_credentials", scope: apiScope }),
    });
    const { access_token: token } = (await answer.json()) as { access_token: string };
    expect((await new Api(first.url, token).readInstance()).status).toBe(200);
    await first.stop();
    await using second = await startServer({ data: own.path });
    expect((await fetch(`${second.url}/.well-known/openid-configuration`)).status).toBe(404);
    expect((await fetch(`${second.url}/oauth/v2/token`, { method: "POST" })).status).toBe(404);
    expect((await new Api(second.url, token).readInstance()).status).toBe(401);
  });

  it.concurrent.each([
    ["--issuer", { flags: ["--issuer"] }],
    ["PORTCULLIS_ISSUER=true", { env: { PORTCULLIS_ISSUER: "true" } }],
    ["--dev", { flags: ["--dev"] }],
  ])("with %s is an issuer at its own address", async (_, options) => {
    using own = new TemporaryDirectory();
    await using issuer = await startServer({ data: own.path, ...options });
    expect(await metadata(issuer.url)).toMatchObject({
      issuer: issuer.url,
      token_endpoint: `${issuer.url}/oauth/v2/token`,
    });
  });

  it.concurrent.each([
    ["--issuer", { flags: ["--issuer", "https://login.example"] }],
    ["PORTCULLIS_ISSUER", { env: { PORTCULLIS_ISSUER: "https://login.example" } }],
    ["--dev and --issuer", { flags: ["--dev", "--issuer", "https://login.example"] }],
    ["--issuer on every address", { flags: ["--listen", "0.0.0.0:0", "--issuer", "https://login.example"] }],
  ])("with %s is an issuer at the address that it is given", async (_, options) => {
    using own = new TemporaryDirectory();
    await using issuer = await startServer({ data: own.path, ...options });
    expect(await metadata(issuer.url.replace("0.0.0.0", "127.0.0.1"))).toMatchObject({
      issuer: "https://login.example",
      authorization_endpoint: "https://login.example/oauth/v2/authorize",
    });
  });

  it.concurrent("with --dev lets pages of every origin call, and without it of none", async () => {
    using own = new TemporaryDirectory();
    await using development = await startServer({ data: own.path, flags: ["--dev"] });
    const allowed = async ({ url }: ServerProcess) => {
      const response = await fetch(`${url}/management/v1/policies/login`, {
        headers: { origin: "https://app.example" },
      });
      return response.headers.get("access-control-allow-origin");
    };
    expect(await allowed(development)).toBe("*");
    expect(await allowed(server)).toBeNull();
  });

  it.concurrent.each(["", "\n", "\r\n"])("takes the admin token from a file that ends with %j", async (end) => {
    using own = new TemporaryDirectory();
    const file = own.join("token");
    writeFileSync(file, adminToken + end);
    await using started = await startServer({ data: own.join("data"), env: { PORTCULLIS_ADMIN_TOKEN_FILE: file } });
    expect((await new Api(started.url, adminToken).readInstance()).status).toBe(200);
    expect(() => statSync(own.join("data", "admin.token"))).toThrow("ENOENT");
    expect(started.stdout + started.stderr).not.toContain(adminToken);
  });

  it.concurrent.each([
    ["flags", { flags: ["--oidc-issuer", "https://a.invalid", "--oidc-issuer", "https://b.invalid,audience=x"] }],
    ["the environment", { env: { PORTCULLIS_OIDC_ISSUER: "https://a.invalid https://b.invalid,audience=x" } }],
  ])("starts with outside issuers from %s that cannot be reached, and its own tokens count", async (_, options) => {
    using own = new TemporaryDirectory();
    await using started = await startServer({ data: own.path, ...options });
    expect((await new Api(started.url, started.adminToken).readInstance()).status).toBe(200);
  });
});

it("says in its log at info why a grant is refused", async () => {
  using own = new TemporaryDirectory();
  const refusing = await startServer({ data: own.join("data"), flags: ["--issuer", "--log-format", "json"] });
  const body = new URLSearchParams({ grant_type: "client_credentials", client_id: "robot", client_secret: "x" });
  expect((await fetch(`${refusing.url}/oauth/v2/token`, { method: "POST", body })).status).toBe(401);
  const { stderr } = await refusing.stop();
  const lines = stderr.split("\n").filter((line) => line.includes("grant refused"));
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 30, error: "invalid_client", reason: "client not found", client: "127.0.0.1" },
  ]);
});
