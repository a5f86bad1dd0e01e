// What is taken back while it is being used: whoever is faster, in the end nothing of it counts. The rounds give both a chance.
import { createPrivateKey } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createKeyFile } from "../../src/auth/issuer/key-file.ts";
import { hashPassword } from "../../src/auth/issuer/password.ts";
import { digestToken, generateSecret } from "../../src/auth/token.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { beginSignIn, redeem, type SignIn, signIn, Visitor } from "../fixtures/visitor.ts";
import { TemporaryDirectory } from "../process/portcullis.ts";

const redirectUri = "https://app.example/cb";
const oldPassword = "the old password";

let directory: TemporaryDirectory;
let server: TestServer;
let application: SignIn;
let oldHash: string;
let newHash: string;
beforeAll(async () => {
  directory = new TemporaryDirectory();
  // A file, because a commit takes time there, as it does in earnest.
  server = await startTestServer({
    issuer: {},
    location: `sqlite:${directory.path}/portcullis.db`,
    trustedProxies: ["127.0.0.1"],
  });
  const clientId = await server.clients.add({ name: "Console", redirectUris: [redirectUri] });
  application = { issuer: server.url, clientId, redirectUri };
  [oldHash, newHash] = await Promise.all([hashPassword(oldPassword), hashPassword("the new password")]);
});
afterAll(async () => {
  await server.close();
  directory[Symbol.dispose]();
  expect(server.failures).toEqual([]);
});

let users = 0;
async function addUser(): Promise<string> {
  users += 1;
  const name = `user${users}`;
  await server.directory.addUser({ name, role: "IAM_OWNER" });
  return name;
}

/** A visitor from an address of its own. */
class Neighbour extends Visitor {
  readonly #address: string;

  constructor(number: number) {
    super();
    this.#address = `198.18.0.${number}`;
  }

  override go(url: string, init: RequestInit = {}) {
    const headers = new Headers(init.headers);
    headers.set("x-forwarded-for", this.#address);
    return super.go(url, { ...init, headers });
  }
}

async function callApi(token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const { status, body } = await fetch(`${server.url}/admin/v1/policies/login`, { headers });
  await body?.cancel();
  return status;
}

/** What a code leads to at the API; 0 where it leads to no token. */
async function spend(page: { readonly location: string }, verifier: string): Promise<number> {
  const code = page.location === "" ? null : new URL(page.location).searchParams.get("code");
  if (code === null) return 0;
  const answer = await redeem(application, { code, verifier });
  const { access_token: token } = (await answer.json()) as { readonly access_token?: string };
  return token === undefined ? 0 : callApi(token);
}

const askToken = async (fields: Record<string, string>, headers: Record<string, string> = {}) => {
  const body = new URLSearchParams(fields);
  const answer = await fetch(`${server.url}/oauth/v2/token`, { method: "POST", body, headers });
  return ((await answer.json()) as { readonly access_token?: string }).access_token;
};

/** How many of the tokens count. */
async function countGood(tokens: readonly (string | undefined)[]): Promise<number> {
  const statuses = await Promise.all(tokens.map((token) => (token === undefined ? 401 : callApi(token))));
  return statuses.filter((status) => status !== 401).length;
}

describe("sign-ins of several users at once", () => {
  it("all succeed, and each rests on the password of its own user", async () => {
    for (let round = 0; round < 4; round += 1) {
      const names = await Promise.all(Array.from({ length: 6 }, addUser));
      await Promise.all(names.map((userName) => server.credentials.setPassword({ userName, hash: oldHash })));
      const tokens = await Promise.all(
        names.map(async (userName, index) => {
          const visitor = new Neighbour(200 + index);
          const { returned, verifier } = await signIn(visitor, { ...application, userName, password: oldPassword });
          const answer = await redeem(application, { code: returned.searchParams.get("code") ?? "", verifier });
          return ((await answer.json()) as { readonly access_token?: string }).access_token;
        }),
      );
      expect(await countGood(tokens)).toBe(names.length);
      for (const [index, userName] of names.entries()) {
        await server.credentials.setPassword({ userName, hash: newHash });
        // Of those whose passwords are still the old ones, every token counts; of the others, none.
        expect(await countGood(tokens)).toBe(names.length - index - 1);
      }
    }
  });
});

describe("what is being used", () => {
  it("leads nowhere where the password changes while it is looked at", async () => {
    const userName = await addUser();
    await server.credentials.setPassword({ userName, hash: oldHash });
    const signIns = await Promise.all(
      Array.from({ length: 6 }, async (_, number) => {
        const visitor = new Neighbour(number);
        const { url, verifier } = await beginSignIn(application);
        return { visitor, verifier, page: await visitor.go(url) };
      }),
    );
    const answers = signIns.map(({ visitor, page }) =>
      visitor.send(page.location, { username: userName, password: oldPassword }),
    );
    await Promise.race(answers);
    await server.credentials.setPassword({ userName, hash: newHash });
    for (const [index, { visitor, verifier }] of signIns.entries()) {
      const answer = await answers[index];
      if (answer === undefined || answer.location === "") continue;
      expect(await spend(await visitor.go(answer.location), verifier)).toBe(0);
    }
  });

  it.each(["a new password", "signing out"])(
    "is a session that ends by %s, also in the middle of requests",
    async (how) => {
      const userName = await addUser();
      await server.credentials.setPassword({ userName, hash: oldHash });
      const visitor = new Neighbour(100 + users);
      await signIn(visitor, { ...application, userName, password: oldPassword });
      const authorize = async (prompt = "") => {
        const { url, verifier } = await beginSignIn(application);
        return { page: await visitor.go(url + prompt), verifier };
      };
      let isOver = false;
      const loops = Array.from({ length: 3 }, async () => {
        const last = [];
        while (!isOver) last.push(await authorize());
        return last.slice(-2);
      });
      await authorize();
      if (how === "signing out") {
        // A request at the same time may save the session without the question; then the answer is refused, and asked again.
        for (let status = 0; status !== 303; ) {
          const asked = await visitor.go(`${server.url}/oidc/v1/end_session`);
          const xsrf = /name="xsrf" value="([^"]+)"/.exec(asked.text)?.[1] ?? "";
          ({ status } = await visitor.send(`${server.url}/oidc/v1/end_session/confirm`, { xsrf, logout: "yes" }));
        }
      } else {
        await server.credentials.setPassword({ userName, hash: newHash });
      }
      isOver = true;
      for (const { page, verifier } of (await Promise.all(loops)).flat()) {
        const returned = page.location.startsWith(redirectUri) ? page : { location: "" };
        expect(await spend(returned, verifier)).not.toBe(200);
      }
      const { page } = await authorize("&prompt=none");
      expect(new URL(page.location).searchParams.get("error")).toBe("login_required");
    },
  );

  it("is a secret that is replaced: no token of it counts", async () => {
    for (let round = 0; round < 10; round += 1) {
      const name = await addUser();
      const secret = generateSecret();
      await server.credentials.setSecret({ userName: name, digest: digestToken(secret) });
      const authorization = `Basic ${Buffer.from(`${name}:${secret}`).toString("base64")}`;
      const asked = Array.from({ length: 4 }, () =>
        askToken({ grant_type: "client_credentials", scope: apiScope }, { authorization }),
      );
      const replaced = server.credentials.setSecret({ userName: name, digest: digestToken(generateSecret()) });
      const [tokens] = await Promise.all([Promise.all(asked), replaced]);
      expect(await countGood(tokens)).toBe(0);
    }
  });

  it("is a key that is removed: no token of it counts", async () => {
    const name = await addUser();
    for (let round = 0; round < 5; round += 1) {
      const { keyId, key, userId } = await createKeyFile(server.credentials, { userName: name });
      const assertion = await new SignJWT()
        .setProtectedHeader({ alg: "RS256", kid: keyId })
        .setIssuer(userId)
        .setSubject(userId)
        .setAudience(server.url)
        .setIssuedAt()
        .setExpirationTime("1h")
        .sign(createPrivateKey(key));
      const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
      const asked = Array.from({ length: 4 }, () => askToken({ grant_type, assertion, scope: apiScope }));
      const [tokens] = await Promise.all([Promise.all(asked), server.credentials.removeKey(keyId)]);
      expect(await countGood(tokens)).toBe(0);
    }
  });
});
