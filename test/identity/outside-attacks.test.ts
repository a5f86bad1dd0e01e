// What an attacker can send as a token, and what an issuer that is broken or hostile can answer.
import { createHmac, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createIssuerFetch } from "../../src/auth/outside/issuer-fetch.ts";
import {
  type Answer,
  asker,
  audiences,
  createSigningKey,
  encode,
  forge,
  json,
  type OutsideIssuer,
  openOutsideIssuer,
  paths,
  signToken,
  type Trusting,
  trust,
} from "../fixtures/outside-issuer.ts";

const unavailable = expect.objectContaining({ name: "AuthError", code: "issuer_unavailable" });
const roleClaim = "urn:zitadel:iam:org:project:roles";

describe("a forged token", () => {
  let issuer: OutsideIssuer;
  let trusting: Trusting;
  beforeAll(async () => {
    const keys = [
      createSigningKey({ kid: "one" }),
      createSigningKey({ kid: "two" }),
      createSigningKey({ alg: "RS256" }),
    ];
    issuer = await openOutsideIssuer({ keys });
    trusting = trust([issuer]);
    // Otherwise a token could be refused only because no keys are there.
    expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
  });
  afterAll(() => issuer[Symbol.asyncDispose]());

  const forged = (wrong: { readonly header?: object; readonly claims?: object } = {}) =>
    forge(issuer, trusting.nowS, wrong);
  const claimsOf = (token: string) => token.split(".")[1] ?? "";

  it.each([["none"], ["None"], ["nOnE"], ["NONE"], [""], [undefined], [null], [7], [["ES256"]]])(
    "is refused with alg %j and no signature, or any",
    async (alg) => {
      const unsigned = `${encode({ alg, typ: "JWT" })}.${claimsOf(forged())}`;
      expect(await trusting.identify(`${unsigned}.`)).toBeUndefined();
      expect(await trusting.identify(`${unsigned}.c2lnbmF0dXJl`)).toBeUndefined();
      expect(await trusting.identify(forged({ header: { alg } }))).toBeUndefined();
    },
  );

  describe("by HMAC, with what everybody can read as the secret, is refused", () => {
    it.each<[string, () => string | Buffer]>([
      ["PEM", () => issuer.key.publicKey.export({ format: "pem", type: "spki" })],
      [
        "PEM without its last line break",
        () => `${issuer.key.publicKey.export({ format: "pem", type: "spki" })}`.trim(),
      ],
      ["DER", () => issuer.key.publicKey.export({ format: "der", type: "spki" })],
      ["JWK", () => JSON.stringify(issuer.key.publicKey.export({ format: "jwk" }))],
      ["an empty secret", () => ""],
    ])("%s", async (_, secret) => {
      for (const alg of ["HS256", "HS384", "HS512"]) {
        const content = `${encode({ alg, typ: "JWT", kid: issuer.key.kid })}.${claimsOf(forged())}`;
        const hash = alg.replace("HS", "sha");
        const signature = createHmac(hash, secret()).update(content).digest("base64url");
        expect(await trusting.identify(`${content}.${signature}`)).toBeUndefined();
      }
    });
  });

  it.each<[string, (token: string) => string]>([
    ["no signature", (token) => token.replace(/[^.]*$/, "")],
    ["a signature of zeros", (token) => token.replace(/[^.]*$/, Buffer.alloc(64).toString("base64url"))],
    ["half a signature", (token) => token.slice(0, -43)],
    ["the signature of another token", (token) => token.replace(/[^.]*$/, forged().split(".")[2] ?? "")],
  ])("is refused with %s", async (_, change) => {
    expect(await trusting.identify(change(forged({ claims: { sub: "eve" } })))).toBeUndefined();
  });

  it("is refused where any one character was changed", async () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const token = forged();
    // Bit 5 counts in the last character of a part too, where others are padding.
    const changed = [...token].map((character, index) => {
      const other = character === "." ? "A" : alphabet[alphabet.indexOf(character) ^ 32];
      return `${token.slice(0, index)}${other}${token.slice(index + 1)}`;
    });
    const callers = await Promise.all(changed.map(trusting.identify));
    expect(callers.length).toBeGreaterThan(200);
    expect(callers.every((caller) => caller === undefined)).toBe(true);
  });

  it.each<[string, (url: string) => object]>([
    ["no iss", () => ({ iss: undefined })],
    ["a slash more in iss", (url) => ({ iss: `${url}/` })],
    ["iss in other letters", (url) => ({ iss: url.replace("http", "HTTP") })],
    ["a list in iss", (url) => ({ iss: [url] })],
    ["no aud", () => ({ aud: undefined })],
    ["another aud", () => ({ aud: "https://other.example" })],
    ["no audience in aud", () => ({ aud: [] })],
    ["an aud that begins alike", () => ({ aud: `${audiences.jwt}:more` })],
    ["an object in aud", () => ({ aud: { [audiences.jwt]: true } })],
    ["a list in a list in aud", () => ({ aud: [[audiences.jwt]] })],
    ["no sub", () => ({ sub: undefined })],
    ["an empty sub", () => ({ sub: "" })],
    ["a number in sub", () => ({ sub: 7 })],
    ["a sub of 256 characters", () => ({ sub: "a".repeat(256) })],
    ["a NUL in sub", () => ({ sub: "ada\0" })],
  ])("is refused with %s", async (_, claims) => {
    expect(await trusting.identify(forged({ claims: claims(issuer.url) }))).toBeUndefined();
  });

  it.each<[string, (nowS: number) => object]>([
    ["that expired 10 s ago", (nowS) => ({ exp: nowS - 10 })],
    ["that expired long ago", () => ({ exp: 1 })],
    ["without an end", () => ({ exp: undefined })],
    ["with a text as its end", (nowS) => ({ exp: `${nowS + 60}` })],
    ["with null as its end", () => ({ exp: null })],
    ["that is not valid yet", (nowS) => ({ nbf: nowS + 11 })],
    ["with a text as its begin", () => ({ nbf: "0" })],
    ["that will be issued", (nowS) => ({ iat: nowS + 11 })],
    ["with a text as its date", () => ({ iat: "0" })],
  ])("%s is refused", async (_, claims) => {
    expect(await trusting.identify(forged({ claims: claims(trusting.nowS) }))).toBeUndefined();
  });

  it("that ends at infinity is refused", async () => {
    const payload = Buffer.from(claimsOf(forged()), "base64url")
      .toString()
      .replace(/"exp":\d+/, '"exp":1e999');
    expect(payload).toContain("1e999");
    const { alg, kid } = issuer.key;
    expect(await trusting.identify(signToken(issuer.key, { header: { alg, kid }, payload }))).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ["a path", "../../../../dev/null"],
    ["SQL", "one' UNION SELECT 'key' --"],
    ["a shell command", "|/usr/bin/id"],
    ["a very long text", "x".repeat(5500)],
    ["a NUL", "one\0"],
    ["__proto__", "__proto__"],
    ["no text", { kid: "one" }],
    ["a list", ["one"]],
    ["null", null],
    ["the name of another key", "two"],
    ["nothing, where the issuer has several keys", undefined],
  ])("is refused with a kid of %s", async (_, kid) => {
    const token = forged({ header: { kid } });
    expect(token.length).toBeLessThan(8193);
    expect(await trusting.identify(token)).toBeUndefined();
  });

  it("is refused where it brings its own key", async () => {
    const key = createSigningKey({ kid: issuer.key.kid });
    const jwk = { ...key.publicKey.export({ format: "jwk" }), kid: key.kid, alg: key.alg };
    for (const kid of [key.kid, "new", undefined]) {
      const header = { jwk, kid };
      expect(await trusting.identify(forge(issuer, trusting.nowS, { key, header }))).toBeUndefined();
    }
  });

  it.each([["jku"], ["x5u"]])("is refused where it names an address of keys in %s, which nobody asks", async (name) => {
    const key = createSigningKey({ kid: issuer.key.kid });
    await using trap = await openOutsideIssuer({ keys: [key] });
    const header = { [name]: `${trap.url}${paths.keys}` };
    expect(await trusting.identify(forge(issuer, trusting.nowS, { key, header }))).toBeUndefined();
    expect(trap.requests(paths.keys)).toBe(0);
  });

  it("is refused where it brings its own certificate", async () => {
    const key = createSigningKey({ kid: issuer.key.kid });
    const header = { x5c: [key.publicKey.export({ format: "der", type: "spki" }).toString("base64")] };
    expect(await trusting.identify(forge(issuer, trusting.nowS, { key, header }))).toBeUndefined();
  });

  it.each<[object]>([
    [{ crit: ["b64"], b64: true }],
    [{ crit: ["b64"], b64: false }],
    [{ crit: ["exp"], exp: 1 }],
    [{ crit: ["urn:unknown"] }],
    [{ crit: [] }],
    [{ crit: null }],
  ])("is refused with the header %j", async (header) => {
    expect(await trusting.identify(forged({ header }))).toBeUndefined();
  });

  it.each<[unknown]>([
    ["logout+jwt"],
    ["id+jwt"],
    ["dpop+jwt"],
    ["secevent+jwt"],
    ["token-introspection+jwt"],
    ["application/jwt"],
    ["JWT "],
    [""],
    [null],
    [["JWT"]],
  ])("that is of type %j is refused", async (typ) => {
    expect(await trusting.identify(forged({ header: { typ } }))).toBeUndefined();
  });

  it.each<[string, object]>([
    ["an ID token, by at_hash", { at_hash: "x", nonce: "y" }],
    ["an ID token, by c_hash", { c_hash: "x" }],
    ["Keycloak's ID token", { typ: "ID" }],
    ["Keycloak's refresh token", { typ: "Refresh" }],
    ["Keycloak's offline token", { typ: "Offline" }],
    ["a logout token", { events: { "http://schemas.openid.net/event/backchannel-logout": {} } }],
    ["bound to a key", { cnf: { jkt: "x" } }],
    ["bound to a certificate", { cnf: { "x5t#S256": "x" } }],
  ])("that is %s is refused", async (_, claims) => {
    expect(await trusting.identify(forged({ header: { typ: "JWT" }, claims }))).toBeUndefined();
  });

  it("counts with what Keycloak writes into access tokens", async () => {
    expect(await trusting.identify(forged({ header: { typ: "JWT" }, claims: { typ: "Bearer" } }))).toBeDefined();
  });

  it("is refused beyond 8192 characters, and counts up to there", async () => {
    const padded = (length: number) => forged({ claims: { padding: "x".repeat(length) } });
    let length = 5000;
    while (padded(length + 1).length <= 8192) length += 1;
    expect(padded(length).length).toBeGreaterThan(8188);
    expect(await trusting.identify(padded(length))).toBeDefined();
    expect(await trusting.identify(padded(length + 4))).toBeUndefined();
    expect(await trusting.identify(padded(1_000_000))).toBeUndefined();
  });

  it.each<[string, unknown]>([
    ["deeply nested lists", JSON.parse(`${"[".repeat(2500)}${"]".repeat(2500)}`)],
    ["deeply nested objects", JSON.parse(`${'{"a":'.repeat(900)}{}${"}".repeat(900)}`)],
    ["many names", Array.from({ length: 1100 }, (_, index) => index.toString(36))],
    ["__proto__", JSON.parse('{"__proto__":{"ORG_OWNER":{"1":"x"}},"constructor":{"prototype":{"ORG_OWNER":"x"}}}')],
  ])("with %s as roles gives none", async (_, claim) => {
    const token = forged({ claims: { [roleClaim]: claim } });
    expect(token.length).toBeLessThan(8193);
    expect(await trusting.identify(token)).toEqual({ userId: `${issuer.url}#ada`, roles: [], homeRoles: [] });
    expect({}).not.toHaveProperty("ORG_OWNER");
  });

  it.each([
    [""],
    ["."],
    [".."],
    ["..."],
    ["a.b.c"],
    ["e30.e30.e30"],
    ["e30.e30."],
    ["bnVsbA.bnVsbA.bnVsbA"],
    ["W10.W10.W10"],
    [`${encode({ alg: "ES256" })}.bnVsbA.c2ln`],
    [`${encode({ alg: "ES256" })}.${encode("{")}.c2ln`],
    [`${encode({ alg: "ES256" })}.${encode(Buffer.from([0xff, 0xfe]).toString("latin1"))}.c2ln`],
    [`${encode({ alg: "dir", enc: "A256GCM" })}..aXY.Y2lwaGVy.dGFn`],
    ["a token with spaces"],
    ["token\u0000"],
    ["tök€n"],
    ["\ud800"],
    ["__proto__"],
  ])("of nothing but %j is refused", async (token) => {
    expect(await trusting.identify(token)).toBeUndefined();
  });

  it("of nothing but one character is refused", async () => {
    for (const character of ["=", ".", "A", "-"]) {
      expect(await trusting.identify(character.repeat(8192))).toBeUndefined();
    }
  });

  it("leaves nothing to report", () => {
    expect(trusting.reports).toEqual([]);
  });
});

describe("an issuer in place of another", () => {
  it("does not sign for it, also with a key of the same name", async () => {
    await using honest = await openOutsideIssuer({ keys: [createSigningKey({ kid: "same" })] });
    await using other = await openOutsideIssuer({ keys: [createSigningKey({ kid: "same" })] });
    const { identify, nowS } = trust([honest, other]);
    expect(await identify(forge(honest, nowS))).toBeDefined();
    expect(await identify(forge(other, nowS))).toBeDefined();
    expect(await identify(forge(honest, nowS, { key: other.key }))).toBeUndefined();
    expect(await identify(forge(other, nowS, { key: honest.key }))).toBeUndefined();
  });

  it("does not vouch for its opaque tokens", async () => {
    await using honest = await openOutsideIssuer();
    await using other = await openOutsideIssuer();
    const { identify } = trust([honest, other], { audience: audiences.opaque, introspection: asker });
    other.answer(paths.introspection, json({ active: true, sub: "ada", aud: audiences.opaque, iss: honest.url }));
    expect(await identify("opaque")).toBeUndefined();
  });
});

describe("an issuer that calls somebody IAM_OWNER", () => {
  it.each<[string, unknown]>([
    ["in ZITADEL's shape", { IAM_OWNER: { "1": "acme.example" } }],
    ["in a list", ["IAM_OWNER"]],
    ["in a text", "IAM_OWNER"],
  ])("%s, is believed only where it may", async (_, claim) => {
    await using issuer = await openOutsideIssuer();
    const token = await issuer.issue({ claims: { [roleClaim]: claim } });
    expect(await trust([issuer]).identify(token)).toMatchObject({ roles: [], homeRoles: [] });
    expect(await trust([issuer], { instanceRoles: true }).identify(token)).toMatchObject({
      roles: [{ role: "IAM_OWNER" }],
      homeRoles: [],
    });
  });
});

describe("a flood of invented key names", () => {
  const flood = (issuer: OutsideIssuer, { identify, nowS }: Trusting) =>
    Promise.allSettled(
      Array.from({ length: 300 }, (_, index) =>
        identify(forge(issuer, nowS, { header: { kid: `invented ${index}` } })),
      ),
    );

  it("is a request or two more for keys, and refused", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    for (const floods of [1, 2, 3]) {
      const outcomes = await flood(issuer, trusting);
      expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(["fulfilled"]));
      // Those that come while the keys are on their way wait, and share one more request.
      expect(issuer.requests(paths.keys)).toBeLessThanOrEqual(1 + 2 * floods);
      trusting.pass(9);
    }
    expect(issuer.requests(paths.discovery)).toBe(1);
  });

  it("is twenty requests at most at once, and one more every three seconds", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    const invent = async (count: number) => {
      for (let index = 0; index < count; index += 1) {
        const header = { kid: `${trusting.nowS} ${index}` };
        // Beyond the bound nobody can tell whether the issuer has that key.
        await trusting.identify(forge(issuer, trusting.nowS, { header })).catch((error: unknown) => {
          expect(error).toMatchObject({ code: "issuer_unavailable" });
        });
      }
    };
    await invent(100);
    expect(issuer.requests(paths.keys)).toBe(1 + 20);
    trusting.pass(7);
    await invent(100);
    expect(issuer.requests(paths.keys)).toBe(1 + 22);
  });

  it("is no request more for a key that the issuer was asked for just now", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    const retired = () => trusting.identify(forge(issuer, trusting.nowS, { header: { kid: "retired" } }));
    for (let index = 0; index < 100; index += 1) expect(await retired()).toBeUndefined();
    expect(issuer.requests(paths.keys)).toBe(2);
    trusting.pass(5);
    expect(await retired()).toBeUndefined();
    expect(issuer.requests(paths.keys)).toBe(3);
  });

  it("is one request every five seconds where the issuer fails", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    issuer.answer(paths.keys, json({}, 500));
    for (const requests of [2, 3, 4]) {
      for (const _ of [1, 2]) {
        const outcomes = await flood(issuer, trusting);
        expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(["rejected"]));
        expect(issuer.requests(paths.keys)).toBe(requests);
      }
      expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
      trusting.pass(5);
    }
    expect(issuer.requests(paths.discovery)).toBeLessThanOrEqual(4);
  });

  it("is a few requests for keys where none are held yet", async () => {
    await using issuer = await openOutsideIssuer();
    await flood(issuer, trust([issuer]));
    expect(issuer.requests(paths.keys)).toBeLessThanOrEqual(3);
    expect(issuer.requests(paths.discovery)).toBe(1);
  });
});

const text =
  (body: string | Buffer, headers: Record<string, string> = { "content-type": "application/json" }): Answer =>
  (_request, response) =>
    void response.writeHead(200, headers).end(body);

const huge = (bytes: number) => `{"keys":[],"padding":"${"x".repeat(bytes)}"}`;
const bomb = (bytes: number) =>
  text(gzipSync(huge(bytes)), { "content-type": "application/json", "content-encoding": "gzip" });
const redirectTo =
  (location: string): Answer =>
  (_request, response) =>
    void response.writeHead(302, { location }).end();

describe("an issuer's discovery document", () => {
  it.each<[string, (url: string) => Answer]>([
    ["is not JSON", () => text("<html>")],
    ["is empty", () => text("")],
    ["is a list", () => json([])],
    ["is null", () => json(null)],
    ["is not found", () => json({}, 404)],
    ["names no issuer", (url) => json({ jwks_uri: `${url}/jwks` })],
    ["names another issuer", (url) => json({ issuer: "https://other.example", jwks_uri: `${url}/jwks` })],
    ["names the issuer with a slash more", (url) => json({ issuer: `${url}/`, jwks_uri: `${url}/jwks` })],
    ["redirects", () => redirectTo("/jwks")],
    ["is larger than 1 MiB", () => text(huge(1024 * 1024))],
    ["grows beyond 1 MiB", () => bomb(50 * 1024 * 1024)],
  ])("that %s makes its tokens unavailable, and it is reported", async (_, answer) => {
    await using issuer = await openOutsideIssuer();
    issuer.answer(paths.discovery, answer(issuer.url));
    const trusting = trust([issuer]);
    await expect(trusting.identify(forge(issuer, trusting.nowS))).rejects.toEqual(unavailable);
    expect(issuer.requests(paths.keys)).toBe(0);
    expect(trusting.reports).toHaveLength(1);
    expect(trusting.reports[0]?.message).toContain(issuer.url);
    expect(trusting.reports[0]?.cause).toBeInstanceOf(Error);

    issuer.answer(paths.discovery, undefined);
    trusting.pass(5);
    expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
  });

  it.each<[string, (url: string) => Answer]>([
    ["names no address of keys", (url) => json({ issuer: url })],
    ["names keys by no address", (url) => json({ issuer: url, jwks_uri: "nowhere" })],
    ["names keys by a number", (url) => json({ issuer: url, jwks_uri: 7 })],
  ])("that %s is reported, and fetched again soon", async (_, answer) => {
    await using issuer = await openOutsideIssuer();
    issuer.answer(paths.discovery, answer(issuer.url));
    const trusting = trust([issuer]);
    await expect(trusting.identify(forge(issuer, trusting.nowS))).rejects.toEqual(unavailable);
    expect(issuer.requests(paths.keys)).toBe(0);
    expect(trusting.reports.map(({ message }) => message)).toEqual([
      `the issuer ${issuer.url} did not return its keys`,
    ]);

    issuer.answer(paths.discovery, undefined);
    trusting.pass(30);
    await vi.waitFor(async () => {
      trusting.pass(5);
      expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
    }, 20_000);
  });

  it.each([
    ["file:///dev/null", "one of its addresses is not https"],
    ['data:application/json,{"keys":[]}', "one of its addresses is not https"],
    ["http://192.0.2.1/jwks", "one of its addresses is not https"],
    ["http://127.0.0.1.example/jwks", "one of its addresses is not https"],
    ["http://localhost.example/jwks", "one of its addresses is not https"],
    ["http://127.0.0.1@192.0.2.1/jwks", "one of its addresses is not https"],
    ["http://[::2]/jwks", "one of its addresses is not https"],
    ["https://user:password@issuer.example/jwks", "one of its addresses contains a password"],
    ["https://user@issuer.example/jwks", "one of its addresses contains a password"],
    ["https://:password@issuer.example/jwks", "one of its addresses contains a password"],
  ])("that names keys at %s is not followed there", async (address, message) => {
    await using issuer = await openOutsideIssuer();
    issuer.answer(paths.discovery, json({ issuer: issuer.url, jwks_uri: address }));
    const { identify, nowS, reports } = trust([issuer]);
    await expect(identify(forge(issuer, nowS))).rejects.toEqual(unavailable);
    expect(reports.map(({ cause }) => cause)).toEqual([new Error(message)]);
  });

  it("of an issuer elsewhere is not followed onto this machine in plain text", async () => {
    const fetchFromIssuer = createIssuerFetch({ issuer: "https://issuer.example", maxBytes: 1 });
    const request = { method: "GET", headers: {} };
    await expect(fetchFromIssuer("http://127.0.0.1/", request)).rejects.toThrow("one of its addresses is not https");
  });

  it.each([["http://issuer.example"], ["ftp://127.0.0.1"], ["not an address"], [""]])(
    "is not asked for at %j",
    async (url) => {
      const { identify, nowS, reports } = trust([{ url }], { introspection: asker });
      await expect(identify(forge({ url, key: createSigningKey() }, nowS))).rejects.toEqual(unavailable);
      await expect(identify("opaque")).rejects.toEqual(unavailable);
      expect(reports).toHaveLength(1);
    },
  );
});

describe("an issuer's keys", () => {
  const publicJwk = ({ key }: OutsideIssuer) => ({ ...key.publicKey.export({ format: "jwk" }), kid: key.kid });

  it.each<[string, Answer]>([
    ["are not JSON", text("<html>")],
    ["are empty", text("")],
    ["are a list", json([])],
    ["are no list", json({ keys: {} })],
    ["are numbers", json({ keys: [1] })],
    ["are null", json({ keys: [null] })],
    ["are not found", json({ keys: [] }, 404)],
    ["are elsewhere, by a redirect", redirectTo("/moved")],
    ["are larger than 1 MiB", text(huge(1024 * 1024))],
    ["grow beyond 1 MiB", bomb(50 * 1024 * 1024)],
  ])("that %s make its tokens unavailable, and it is reported", async (_, answer) => {
    await using issuer = await openOutsideIssuer();
    issuer.answer("/moved", json({ keys: [publicJwk(issuer)] }));
    issuer.answer(paths.keys, answer);
    const trusting = trust([issuer]);
    await expect(trusting.identify(forge(issuer, trusting.nowS))).rejects.toEqual(unavailable);
    expect(issuer.requests("/moved")).toBe(0);
    expect(trusting.reports.map(({ message }) => message)).toEqual([
      `the issuer ${issuer.url} did not return its keys`,
    ]);
    expect(inspect(trusting.reports, { depth: 9 })).not.toContain("<html>");

    issuer.answer(paths.keys, undefined);
    trusting.pass(5);
    expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
  });

  it.each<[string, (issuer: OutsideIssuer) => object]>([
    ["of no form", (issuer) => ({ kty: "EC", crv: "P-256", kid: issuer.key.kid })],
    ["not on their curve", (issuer) => ({ ...publicJwk(issuer), x: Buffer.alloc(32, 1).toString("base64url") })],
    ["that are private", ({ key }) => ({ ...key.privateKey.export({ format: "jwk" }), kid: key.kid })],
    ["for encryption", (issuer) => ({ ...publicJwk(issuer), use: "enc" })],
    ["that are symmetric", (issuer) => ({ kty: "oct", k: encode("secret"), kid: issuer.key.kid })],
  ])("%s verify nothing", async (_, jwk) => {
    await using issuer = await openOutsideIssuer();
    issuer.answer(paths.keys, json({ keys: [jwk(issuer)] }));
    const { identify, nowS } = trust([issuer]);
    expect(await identify(forge(issuer, nowS))).toBeUndefined();
    const content = `${encode({ alg: "HS256", kid: issuer.key.kid })}.${forge(issuer, nowS).split(".")[1]}`;
    const signature = createHmac("sha256", "secret").update(content).digest("base64url");
    expect(await identify(`${content}.${signature}`)).toBeUndefined();
  });

  it("that are too short verify nothing", async () => {
    await using issuer = await openOutsideIssuer();
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    issuer.answer(paths.keys, json({ keys: [publicKey.export({ format: "jwk" })] }));
    const { identify, nowS } = trust([issuer]);
    const key = { kid: "short", alg: "RS256", privateKey, publicKey } as const;
    expect(await identify(forge(issuer, nowS, { key, header: { kid: undefined } }))).toBeUndefined();
  });
});

describe("an issuer's word on an opaque token", () => {
  const good = (url: string, nowS: number) => ({
    active: true,
    iss: url,
    sub: "ada",
    aud: [audiences.opaque, "other"],
    iat: nowS,
    nbf: nowS,
    exp: nowS + 3600,
  });
  const ask = async (issuer: OutsideIssuer, change: (nowS: number) => object) => {
    const trusting = trust([issuer], { audience: audiences.opaque, introspection: asker });
    issuer.answer(paths.introspection, json({ ...good(issuer.url, trusting.nowS), ...change(trusting.nowS) }));
    return await trusting.identify("opaque");
  };

  it.each<[string, (nowS: number) => object]>([
    ["all there", () => ({})],
    ["iss, iat, nbf and exp left out", () => ({ iss: undefined, iat: undefined, nbf: undefined, exp: undefined })],
    ["one audience", () => ({ aud: audiences.opaque })],
  ])("counts with %s", async (_, change) => {
    await using issuer = await openOutsideIssuer();
    expect(await ask(issuer, change)).toMatchObject({ userId: `${issuer.url}#ada` });
  });

  it.each<[string, (nowS: number) => object]>([
    ["inactive", () => ({ active: false })],
    ["another aud", () => ({ aud: ["other"] })],
    ["no aud", () => ({ aud: undefined })],
    ["another iss", () => ({ iss: "https://other.example" })],
    ["no sub", () => ({ sub: undefined })],
    ["a number in sub", () => ({ sub: 7 })],
    ["its end in the past", (nowS) => ({ exp: nowS - 10 })],
    ["a text as its end", (nowS) => ({ exp: `${nowS + 60}` })],
    ["its begin to come", (nowS) => ({ nbf: nowS + 11 })],
    ["its date to come", (nowS) => ({ iat: nowS + 11 })],
    ["a key to be proved", () => ({ cnf: { jkt: "x" } })],
    ["the type of a refresh token", () => ({ typ: "Refresh" })],
  ])("does not count with %s", async (_, change) => {
    await using issuer = await openOutsideIssuer();
    expect(await ask(issuer, change)).toBeUndefined();
  });

  const claim = "claim-that-nobody-may-log";
  it.each<[string, Answer]>([
    ["not JSON", text(claim)],
    ["JSON with something before it", text(`${claim}{"active":true}`)],
    ["a list", json([claim])],
    ["active as a text", json({ active: "true", sub: claim })],
    ["an error", json({ error: claim, error_description: claim }, 400)],
    ["not found", json({ claim }, 404)],
    [
      "a challenge",
      (_request, response) => response.writeHead(401, { "www-authenticate": `Bearer realm="${claim}"` }).end(),
    ],
    ["a redirect", redirectTo(`/${claim}`)],
    ["an answer of more than 64 KiB", json({ active: true, claim: claim + "x".repeat(64 * 1024) })],
    ["an answer that grows beyond 64 KiB", bomb(50 * 1024 * 1024)],
  ])("is none where it is %s, and a report quotes nothing", async (_, answer) => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports } = trust([issuer], { audience: audiences.opaque, introspection: asker });
    issuer.answer(paths.introspection, answer);
    await expect(identify("token-that-nobody-may-log")).rejects.toEqual(unavailable);
    expect(reports).toHaveLength(1);
    const seen = inspect(reports, { depth: Number.POSITIVE_INFINITY, showHidden: true });
    expect(seen).toContain(issuer.url);
    expect(seen).not.toContain("nobody-may-log");
    expect(seen).not.toContain(asker.clientSecret);
    expect(seen).not.toContain(btoa(`${asker.clientId}:`).slice(0, -4));
    expect(await identify("token-that-nobody-may-log").catch(() => "asked again")).toBe("asked again");
  });

  it("is asked for only where the address is fit for a secret", async () => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await using issuer = await openOutsideIssuer();
    try {
      for (const address of [
        `http://user:pw@127.0.0.1:${port}/`,
        "http://192.0.2.1/",
        "javascript:1",
        "",
        7,
        undefined,
      ]) {
        issuer.answer(paths.discovery, json({ issuer: issuer.url, introspection_endpoint: address }));
        const { identify, reports } = trust([issuer], { audience: audiences.opaque, introspection: asker });
        await expect(identify("opaque")).rejects.toEqual(unavailable);
        expect(reports).toHaveLength(1);
      }
      expect(asked).toEqual([]);
    } finally {
      server.close();
    }
  });
});
