// Tokens of other issuers as their users and operators see them: which count, what is asked of whom, and what happens while
// an issuer is slow, down, or changes its keys.
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import { createCallerCache } from "../../src/auth/outside/caller-cache.ts";
import {
  asker,
  audiences,
  createSigningKey,
  forge,
  json,
  type OutsideIssuer,
  openOutsideIssuer,
  paths,
  signToken,
  trust,
} from "../fixtures/outside-issuer.ts";

const unavailable = expect.objectContaining({ name: "AuthError", code: "issuer_unavailable" });
const roleClaim = "urn:zitadel:iam:org:project:roles";
const homeClaim = "urn:zitadel:iam:user:resourceowner:id";

const trustOpaque = (issuers: readonly OutsideIssuer[]) =>
  trust(issuers, { audience: audiences.opaque, introspection: asker });

describe("a JWT", () => {
  it("says who calls, where home is, and with which roles", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports } = trust([issuer]);
    const claims = { [homeClaim]: "7", [roleClaim]: { ORG_OWNER: { "1": "acme.example" }, cook: { "1": "x" } } };
    expect(await identify(await issuer.issue({ claims }))).toEqual({
      userId: `${issuer.url}#machine`,
      organizationId: "7",
      roles: [{ role: "ORG_OWNER", organizationId: "1" }],
      homeRoles: [],
    });
    expect(reports).toEqual([]);
  });

  it("signed with RSA counts as well", async () => {
    await using issuer = await openOutsideIssuer({ keys: [createSigningKey({ alg: "RS256" }), createSigningKey()] });
    const { identify } = trust([issuer]);
    expect(await identify(await issuer.issue())).toMatchObject({ userId: `${issuer.url}#machine` });
  });

  it.each([["EdDSA"], ["Ed25519"]])("signed with %s counts as well", async (alg) => {
    await using issuer = await openOutsideIssuer();
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    issuer.answer(paths.keys, json({ keys: [publicKey.export({ format: "jwk" })] }));
    const { identify, nowS } = trust([issuer]);
    const payload = { iss: issuer.url, sub: "ada", aud: audiences.jwt, exp: nowS + 60 };
    expect(await identify(signToken({ privateKey, hash: null }, { header: { alg }, payload }))).toBeDefined();
  });

  it.each([
    [{ typ: "JWT" }],
    [{ typ: "jwt" }],
    [{ typ: undefined }],
    [{ typ: "AT+JWT" }],
    [{ typ: "application/at+jwt" }],
  ])("may have the header %j", async (header) => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { header }))).toBeDefined();
  });

  it("needs no kid where the issuer has one key", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { header: { kid: undefined } }))).toBeDefined();
  });

  it("may have several audiences", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { claims: { aud: ["other", audiences.jwt] } }))).toBeDefined();
  });

  it.each<[string, (nowS: number) => object]>([
    ["expired 9 s ago", (nowS) => ({ exp: nowS - 9 })],
    ["is valid in 9 s", (nowS) => ({ nbf: nowS + 9 })],
    ["was issued in 9 s", (nowS) => ({ iat: nowS + 9 })],
  ])("counts where it %s, for clocks differ", async (_, claims) => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { claims: claims(nowS) }))).toBeDefined();
  });

  it("of an issuer that is not trusted is unknown, and nobody is asked about it", async () => {
    await using issuer = await openOutsideIssuer();
    await using stranger = await openOutsideIssuer();
    const { identify } = trust([issuer], { introspection: asker });
    expect(await identify(await stranger.issue())).toBeUndefined();
    expect(issuer.requests(paths.discovery) + stranger.requests(paths.discovery)).toBe(0);
  });

  it("is looked up at its own issuer where several are trusted", async () => {
    await using one = await openOutsideIssuer();
    await using other = await openOutsideIssuer();
    const { identify } = trust([one, other]);
    expect(await identify(await one.issue())).toMatchObject({ userId: `${one.url}#machine` });
    expect(other.requests(paths.discovery)).toBe(0);
    expect(await identify(await other.issue())).toMatchObject({ userId: `${other.url}#machine` });
  });
});

describe("a token that was found good", () => {
  it("is not verified again for 60 s", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    const token = forge(issuer, trusting.nowS);
    await trusting.identify(token);

    issuer.rotate(createSigningKey());
    trusting.pass(31);
    await trusting.identify(forge(issuer, trusting.nowS));
    expect(issuer.requests(paths.keys)).toBe(2);

    trusting.pass(28.9);
    expect(await trusting.identify(token)).toBeDefined();
    trusting.pass(0.1);
    expect(await trusting.identify(token)).toBeUndefined();
  });

  it("does not outlive its end", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    const token = forge(issuer, trusting.nowS, { claims: { exp: trusting.nowS + 20 } });
    expect(await trusting.identify(token)).toBeDefined();
    trusting.pass(31);
    expect(await trusting.identify(token)).toBeUndefined();
  });

  it("is remembered among no more than 10,000", () => {
    const cache = createCallerCache(() => 0);
    const caller = { userId: "ada", roles: [], homeRoles: [] };
    for (let index = 0; index <= 10_000; index += 1) cache.set(`digest ${index}`, caller, undefined);
    expect(cache.get("digest 0")).toBeUndefined();
    expect(cache.get("digest 1")).toBe(caller);
    expect(cache.get("digest 10000")).toBe(caller);
  });
});

it("a token that was refused is verified anew each time", async () => {
  await using issuer = await openOutsideIssuer();
  const trusting = trust([issuer]);
  const token = forge(issuer, trusting.nowS, { claims: { nbf: trusting.nowS + 20 } });
  expect(await trusting.identify(token)).toBeUndefined();
  trusting.pass(11);
  expect(await trusting.identify(token)).toBeDefined();
});

describe("an issuer", () => {
  it("is not asked before there is a token of its own, and then once for all", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS } = trust([issuer]);
    expect(issuer.requests(paths.discovery)).toBe(0);

    const tokens = Array.from({ length: 20 }, (_, index) => forge(issuer, nowS, { claims: { sub: `user ${index}` } }));
    const callers = await Promise.all(tokens.map(identify));
    expect(callers.map((caller) => caller?.userId)).toEqual(tokens.map((_, index) => `${issuer.url}#user ${index}`));
    expect(issuer.requests(paths.discovery)).toBe(1);
    expect(issuer.requests(paths.keys)).toBe(1);
  });

  it("that is down at first use makes its tokens unavailable until it is back", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports, nowS, pass } = trust([issuer]);
    const token = forge(issuer, nowS);
    await issuer.goDown();
    await expect(identify(token)).rejects.toEqual(unavailable);
    expect(reports).toHaveLength(1);
    expect(reports[0]?.message).toContain(issuer.url);
    expect(reports[0]?.cause).toMatchObject({ message: "fetch failed", cause: { message: /ECONNREFUSED/ } });

    await issuer.comeBack();
    pass(5);
    expect(await identify(token)).toBeDefined();
  });

  it("that failed is not asked again for 5 s", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports, nowS, pass } = trust([issuer]);
    issuer.answer(paths.discovery, json({}, 500));
    for (let second = 0; second < 5; second += 1) {
      await expect(identify(forge(issuer, nowS))).rejects.toEqual(unavailable);
      pass(0.999);
    }
    expect(issuer.requests(paths.discovery)).toBe(1);
    expect(reports).toHaveLength(1);
    pass(0.005);
    await expect(identify(forge(issuer, nowS))).rejects.toEqual(unavailable);
    expect(issuer.requests(paths.discovery)).toBe(2);
  });

  it("that failed is asked again where the clock was set back", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, pass } = trust([issuer]);
    issuer.answer(paths.discovery, json({}, 500));
    await expect(identify(forge(issuer, nowS))).rejects.toEqual(unavailable);
    issuer.answer(paths.discovery, undefined);
    pass(-3600);
    expect(await identify(forge(issuer, nowS - 3600))).toBeDefined();
  });

  it("that goes down does not matter where its keys are held", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    await issuer.goDown();
    for (const seconds of [0, 60, 3600, 86_400]) {
      trusting.pass(seconds);
      expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
    }
  });

  it("that is slow delays nobody else", async () => {
    await using slow = await openOutsideIssuer();
    await using other = await openOutsideIssuer();
    const { identify, nowS } = trust([slow, other]);
    const discovery = slow.hold(paths.discovery);
    const waiting = identify(forge(slow, nowS));
    await discovery.arrived(1);
    expect(await identify(forge(other, nowS))).toBeDefined();
    discovery.open();
    expect(await waiting).toBeDefined();
  });

  it("is waited for 5 s", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, reports } = trust([issuer]);
    const limit = new AbortController();
    const timeout = vi.spyOn(AbortSignal, "timeout").mockReturnValue(limit.signal);
    try {
      const discovery = issuer.hold(paths.discovery);
      const waiting = identify(forge(issuer, nowS));
      await discovery.arrived(1);
      limit.abort(new DOMException("too late", "TimeoutError"));
      await expect(waiting).rejects.toEqual(unavailable);
      expect(timeout.mock.calls).toEqual([[5000]]);
      expect(reports.map(({ cause }) => cause)).toMatchObject([{ message: "too late" }]);
    } finally {
      timeout.mockRestore();
    }
  });
});

describe("the keys of an issuer", () => {
  it("may change without a restart and without a word, and the first token of the new one counts", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(await issuer.issue());
    for (const requests of [2, 3, 4]) {
      issuer.rotate(createSigningKey());
      expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
      expect(issuer.requests(paths.keys)).toBe(requests);
    }
  });

  it("may change while they are on their way to us", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    const { key } = issuer;
    issuer.answer(paths.keys, json({ keys: [{ ...key.publicKey.export({ format: "jwk" }), kid: key.kid }] }));
    const held = issuer.hold(paths.keys);
    const invented = trusting.identify(forge(issuer, trusting.nowS, { header: { kid: "invented" } }));
    await held.arrived(1);
    issuer.rotate(createSigningKey());
    const tokens = [1, 2, 3].map((sub) =>
      trusting.identify(forge(issuer, trusting.nowS, { claims: { sub: `${sub}` } })),
    );
    // What is on its way was read before the change.
    const first = Promise.withResolvers<void>();
    issuer.answer(paths.keys, (request, response) => {
      json({ keys: [{ ...key.publicKey.export({ format: "jwk" }), kid: key.kid }] })(request, response);
      issuer.answer(paths.keys, undefined);
      first.resolve();
    });
    held.open();
    await first.promise;
    expect(await invented).toBeUndefined();
    expect((await Promise.all(tokens)).map((caller) => caller?.userId)).toEqual(
      [1, 2, 3].map((sub) => `${issuer.url}#${sub}`),
    );
    expect(issuer.requests(paths.keys)).toBe(3);
  });

  it("that are new are UNAVAILABLE while the issuer is down, also right after it was asked", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    await issuer.goDown();
    const key = createSigningKey();
    const token = () => forge(issuer, trusting.nowS, { key });
    for (const seconds of [0, 1, 5, 60]) {
      trusting.pass(seconds);
      await expect(trusting.identify(token())).rejects.toEqual(unavailable);
    }
    await issuer.comeBack();
    issuer.rotate(key);
    trusting.pass(5);
    expect(await trusting.identify(token())).toBeDefined();
  });

  it("no longer count once they are withdrawn", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    const { key } = issuer;
    await trusting.identify(forge(issuer, trusting.nowS));
    issuer.rotate(createSigningKey());
    trusting.pass(30);
    await trusting.identify(forge(issuer, trusting.nowS));
    expect(await trusting.identify(forge(issuer, trusting.nowS, { key }))).toBeUndefined();
  });

  it("are fetched again in the background after 10 minutes", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    const { key } = issuer;
    await trusting.identify(forge(issuer, trusting.nowS));
    trusting.pass(599);
    await trusting.identify(forge(issuer, trusting.nowS));
    expect(issuer.requests(paths.keys)).toBe(1);

    trusting.pass(1);
    issuer.rotate(createSigningKey());
    const held = issuer.hold(paths.keys);
    expect(await trusting.identify(forge(issuer, trusting.nowS, { key }))).toBeDefined();
    await held.arrived(1);
    const waiting = trusting.identify(forge(issuer, trusting.nowS));
    held.open();
    expect(await waiting).toBeDefined();
    expect(issuer.requests(paths.keys)).toBe(2);
  });

  it("are kept where they cannot be fetched again", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));
    issuer.answer(paths.keys, json({}, 500));
    trusting.pass(600);

    const unknown = () => forge(issuer, trusting.nowS, { header: { kid: "unknown" } });
    const seen: number[] = [];
    for (const seconds of [0, 15, 14.9, 0.2]) {
      trusting.pass(seconds);
      expect(await trusting.identify(forge(issuer, trusting.nowS))).toBeDefined();
      // Waits for the attempt, if there is one. Whether the issuer has this key nobody can tell.
      await expect(trusting.identify(unknown())).rejects.toEqual(unavailable);
      seen.push(issuer.requests(paths.keys));
    }
    // In the background, then for the unknown key, but not within five seconds after a failure.
    expect(seen).toEqual([2, 3, 4, 4]);
    expect(trusting.reports.filter(({ message }) => message.endsWith("did not return its keys"))).toHaveLength(3);

    issuer.answer(paths.keys, undefined);
    trusting.pass(30);
    expect(await trusting.identify(unknown())).toBeUndefined();
  });

  it("may move to another address", async () => {
    await using issuer = await openOutsideIssuer();
    const trusting = trust([issuer]);
    await trusting.identify(forge(issuer, trusting.nowS));

    const key = createSigningKey();
    issuer.answer(paths.keys, json({}, 404));
    issuer.answer("/moved", json({ keys: [{ ...key.publicKey.export({ format: "jwk" }), kid: key.kid }] }));
    issuer.answer(paths.discovery, json({ issuer: issuer.url, jwks_uri: `${issuer.url}/moved` }));
    const token = forge(issuer, trusting.nowS + 30_000, { key, claims: { iat: undefined } });
    const before = trusting.nowS;
    await vi.waitFor(
      async () => {
        trusting.pass(30);
        expect(await trusting.identify(token)).toBeDefined();
      },
      { interval: 200, timeout: 20_000 },
    );
    // Sooner than the document would have been fetched again for its age.
    expect(trusting.nowS - before).toBeLessThan(600);
  });
});

describe("an opaque token", () => {
  it("says who calls where the issuer vouches for it", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports } = trustOpaque([issuer]);
    const claims = { [homeClaim]: "7", [roleClaim]: ["ORG_OWNER"] };
    const token = await issuer.issue({ audience: audiences.opaque, claims });
    expect(token).not.toContain(".");
    expect(await identify(token)).toEqual({
      userId: `${issuer.url}#machine`,
      organizationId: "7",
      roles: [],
      homeRoles: ["ORG_OWNER"],
    });
    expect(reports).toEqual([]);
  });

  it("is unknown where no issuer may be asked", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify } = trust([issuer], { audience: audiences.opaque });
    expect(await identify(await issuer.issue({ audience: audiences.opaque }))).toBeUndefined();
    expect(issuer.requests(paths.discovery)).toBe(0);
  });

  it("is not asked about again for 60 s", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, pass } = trustOpaque([issuer]);
    const token = await issuer.issue({ audience: audiences.opaque });
    const caller = await identify(token);
    pass(59.9);
    expect(await identify(token)).toEqual(caller);
    expect(issuer.requests(paths.introspection)).toBe(1);
    pass(0.1);
    expect(await identify(token)).toEqual(caller);
    expect(issuer.requests(paths.introspection)).toBe(2);
  });

  it("does not outlive its end, however long the answer could be kept", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, pass } = trustOpaque([issuer]);
    issuer.answer(
      paths.introspection,
      json({ active: true, sub: "ada", aud: audiences.opaque, exp: nowS + 20, iss: issuer.url }),
    );
    expect(await identify("opaque")).toBeDefined();
    pass(31);
    expect(await identify("opaque")).toBeUndefined();
    expect(issuer.requests(paths.introspection)).toBe(2);
  });

  it("that is inactive is not asked about again for 10 s", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, pass } = trustOpaque([issuer]);
    expect(await identify("invented")).toBeUndefined();
    pass(9.9);
    expect(await identify("invented")).toBeUndefined();
    expect(issuer.requests(paths.introspection)).toBe(1);
    pass(0.1);
    expect(await identify("invented")).toBeUndefined();
    expect(issuer.requests(paths.introspection)).toBe(2);
  });

  it("is asked about once for all who wait", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify } = trustOpaque([issuer]);
    const token = await issuer.issue({ audience: audiences.opaque });
    const held = issuer.hold(paths.introspection);
    const waiting = Array.from({ length: 50 }, () => identify(token));
    await held.arrived(1);
    held.open();
    const callers = await Promise.all(waiting);
    expect(new Set(callers.map((caller) => caller?.userId))).toEqual(new Set([`${issuer.url}#machine`]));
    expect(issuer.requests(paths.introspection)).toBe(1);
  });

  it("is asked about 32 tokens at once; the others wait, and not for long", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify } = trustOpaque([issuer]);
    const held = issuer.hold(paths.introspection);
    const waiting = Array.from({ length: 32 }, (_, index) => identify(`invented-${index}`));
    await held.arrived(32);
    await expect(identify("too-late")).rejects.toEqual(unavailable);
    const [same, more] = [identify("invented-0"), identify("one-more")];
    expect(issuer.requests(paths.introspection)).toBe(32);
    held.open();
    expect(await Promise.all([...waiting, same, more])).toEqual(Array(34).fill(undefined));
    expect(issuer.requests(paths.introspection)).toBe(33);
  });

  it("is unavailable while its issuer is down", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, reports } = trustOpaque([issuer]);
    const token = await issuer.issue({ audience: audiences.opaque });
    await identify("invented");
    await issuer.goDown();
    await expect(identify(token)).rejects.toEqual(unavailable);
    expect(reports).toHaveLength(1);
    await issuer.comeBack();
    expect(await identify(token)).toBeDefined();
  });

  it("is unavailable where the issuer does not know us", async () => {
    await using issuer = await openOutsideIssuer();
    const client = { ...asker, clientSecret: "wrong" };
    const { identify, reports } = trust([issuer], { audience: audiences.opaque, introspection: client });
    await expect(identify("opaque")).rejects.toEqual(unavailable);
    expect(reports).toHaveLength(1);
  });

  describe("where two issuers may be asked", () => {
    it("is asked of one after the other, until one vouches for it", async () => {
      await using first = await openOutsideIssuer();
      await using second = await openOutsideIssuer();
      const { identify } = trustOpaque([first, second]);
      expect(await identify(await first.issue({ audience: audiences.opaque }))).toMatchObject({
        userId: `${first.url}#machine`,
      });
      expect(second.requests(paths.introspection)).toBe(0);
      expect(await identify(await second.issue({ audience: audiences.opaque }))).toMatchObject({
        userId: `${second.url}#machine`,
      });
      expect(first.requests(paths.introspection)).toBe(2);
    });

    it("counts while the other one is down, and others are unavailable", async () => {
      await using first = await openOutsideIssuer();
      await using second = await openOutsideIssuer();
      const { identify } = trustOpaque([first, second]);
      await first.goDown();
      expect(await identify(await second.issue({ audience: audiences.opaque }))).toBeDefined();
      await expect(identify("invented")).rejects.toEqual(unavailable);
    });

    it("does not wait for one that failed before", async () => {
      await using first = await openOutsideIssuer();
      await using second = await openOutsideIssuer();
      const { identify } = trustOpaque([first, second]);
      first.answer(paths.introspection, json({}, 500));
      await expect(identify("invented")).rejects.toEqual(unavailable);
      first.answer(paths.introspection, undefined);
      const held = first.hold(paths.introspection);

      expect(await identify(await second.issue({ audience: audiences.opaque }))).toBeDefined();
      expect(first.requests(paths.introspection)).toBe(1);

      const waiting = identify(await first.issue({ audience: audiences.opaque }));
      await held.arrived(1);
      held.open();
      expect(await waiting).toMatchObject({ userId: `${first.url}#machine` });
    });

    it("is not asked about where an answer is held, whoever gave it", async () => {
      await using first = await openOutsideIssuer();
      await using second = await openOutsideIssuer();
      const { identify, pass } = trustOpaque([first, second]);
      const token = await second.issue({ audience: audiences.opaque });
      await identify(token);
      pass(30);
      expect(await identify(token)).toBeDefined();
      expect(first.requests(paths.introspection)).toBe(1);
    });
  });
});

describe("the log of refused tokens", () => {
  type Change = Parameters<typeof forge>[2];

  it.each<[string, (issuer: OutsideIssuer, nowS: number) => Change, RegExp]>([
    [
      "a wrong aud",
      () => ({ claims: { aud: ["a", "b"] } }),
      /^its aud is \["a","b"\], and must be or contain "urn:portcullis"$/,
    ],
    ["an aud without end", () => ({ claims: { aud: "x".repeat(5000) } }), /^its aud is "x{388}$/],
    ["an unknown kid", () => ({ header: { kid: "unknown" } }), /^its kid is not the id of a key of the issuer$/],
    [
      "a wrong signature",
      ({ key }) => ({ key: createSigningKey({ kid: key.kid }) }),
      /^signature verification failed$/,
    ],
    ["another algorithm", () => ({ header: { alg: "HS256" } }), /^the alg, typ or crit in its header is not accepted$/],
    [
      "a time to come",
      (_, nowS) => ({ claims: { iat: nowS + 600 } }),
      /^it is another kind of token, or not valid at this time$/,
    ],
    ["no end", () => ({ claims: { exp: undefined } }), /^missing required "exp" claim$/],
    ["a subject that is none", () => ({ claims: { sub: "" } }), /^its sub cannot be an id$/],
  ])("names %s, and the issuer", async (_, change, reason) => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, refusals } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, change(issuer, nowS)))).toBeUndefined();
    expect(refusals).toEqual([{ issuer: issuer.url, reason: expect.stringMatching(reason) }]);
  });

  it("names an issuer that is not trusted, such as one with a slash too many", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, refusals } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { claims: { iss: `${issuer.url}/` } }))).toBeUndefined();
    expect(refusals).toEqual([
      { reason: `its iss is "${issuer.url}/", which is not exactly the URL of any --oidc-issuer` },
    ]);
  });

  it("names the aud that introspection answers, and nothing of tokens that nobody vouches for", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, refusals } = trust([issuer], { audience: "other", introspection: asker });
    expect(await identify("invented")).toBeUndefined();
    expect(refusals).toEqual([]);
    expect(await identify(await issuer.issue({ audience: audiences.opaque }))).toBeUndefined();
    expect(refusals).toEqual([
      {
        issuer: issuer.url,
        reason: `its aud is "${audiences.opaque}", and must be or contain "other"`,
      },
    ]);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["no aud", { sub: "ada" }, /^its aud is missing, and must be or contain "a"$/],
    ["another kind of token", { sub: "ada", aud: "a", typ: "Refresh" }, /^it is another kind of token/],
    ["no subject", { aud: "a" }, /^its sub cannot be an id$/],
  ])("tells of introspection that answers %s", async (_, claims, reason) => {
    await using issuer = await openOutsideIssuer();
    const { identify, refusals } = trust([issuer], { audience: "a", introspection: asker });
    issuer.answer(paths.introspection, json({ active: true, ...claims }));
    expect(await identify("opaque")).toBeUndefined();
    expect(refusals).toEqual([{ issuer: issuer.url, reason: expect.stringMatching(reason) }]);
  });

  it("has nothing of a token that came to its end", async () => {
    await using issuer = await openOutsideIssuer();
    const { identify, nowS, refusals } = trust([issuer]);
    expect(await identify(forge(issuer, nowS, { claims: { exp: nowS - 60 } }))).toBeUndefined();
    expect(refusals).toEqual([]);
  });
});
