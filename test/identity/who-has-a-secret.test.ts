// Strangers cannot tell from any answer of the issuer whether a service user is there, or has a secret.
import { afterAll, beforeAll, expect, it } from "vitest";
import { digestToken } from "../../src/auth/token.ts";
import { apiScope } from "../../src/wire-names.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";

let server: TestServer;
/** What a stranger may call a client: users with a secret and without, by name and by id, and nobody. */
let clients: Readonly<Record<string, string>>;

beforeAll(async () => {
  server = await startTestServer({ issuer: {}, trustedProxies: ["127.0.0.1"] });
  const { directory, credentials } = server;
  const withSecret = await directory.addUser({ name: "has-a-secret", role: "ORG_OWNER" });
  const without = await directory.addUser({ name: "has-no-secret", role: "ORG_OWNER" });
  const removed = await directory.addUser({ name: "was-removed", role: "ORG_OWNER" });
  for (const userName of ["has-a-secret", "was-removed"]) {
    await credentials.setSecret({ userName, digest: digestToken("right") });
  }
  await directory.removeUser("was-removed");
  clients = {
    "a user with a secret": "has-a-secret",
    "a user with a secret, by its id": withSecret.id,
    "a user without": "has-no-secret",
    "a user without, by its id": without.id,
    "a user who was removed": removed.id,
    nobody: "unknown",
    "nobody, by an id": "123456789012345678",
  };
});
afterAll(async () => {
  await server.close();
  expect(server.failures).toEqual([]);
});

const basic = (id: string) => ({ authorization: `Basic ${btoa(`${id}:wrong`)}` });
/** Each question comes from an address of its own, so that no throttle answers. */
let asked = 0;
const from = () => ({ "x-forwarded-for": `203.0.113.${asked++}` });
const post = (path: string, fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
  fetch(server.url + path, { method: "POST", headers: { ...from(), ...headers }, body: new URLSearchParams(fields) });
const get = (path: string, fields: Readonly<Record<string, string>>) =>
  fetch(`${server.url}${path}?${new URLSearchParams(fields)}`, { redirect: "manual", headers: from() });

const code = { response_type: "code", scope: `openid ${apiScope}` };
const challenge = { code_challenge: "x".repeat(43), code_challenge_method: "S256" };
const grant = { grant_type: "client_credentials", scope: apiScope };
const origin = { origin: "https://app.example" };

it.each<[string, (id: string) => Promise<Response>]>([
  ["authorize", (id) => get("/oauth/v2/authorize", { client_id: id, redirect_uri: "https://app.example/cb", ...code })],
  ["authorize, with PKCE", (id) => get("/oauth/v2/authorize", { client_id: id, ...code, ...challenge })],
  ["authorize, with nothing else", (id) => get("/oauth/v2/authorize", { client_id: id })],
  ["end_session", (id) => get("/oidc/v1/end_session", { client_id: id })],
  [
    "end_session, with a way back",
    (id) => get("/oidc/v1/end_session", { client_id: id, post_logout_redirect_uri: "https://app.example/cb" }),
  ],
  ["token, with a wrong secret", (id) => post("/oauth/v2/token", { ...grant, client_id: id, client_secret: "wrong" })],
  ["token, with Basic", (id) => post("/oauth/v2/token", grant, basic(id))],
  ["token, without a secret", (id) => post("/oauth/v2/token", { ...grant, client_id: id })],
  ["token, with an empty secret", (id) => post("/oauth/v2/token", { ...grant, client_id: id, client_secret: "" })],
  ["token, from a page", (id) => post("/oauth/v2/token", { ...grant, client_id: id, client_secret: "wrong" }, origin)],
  ["token, by another grant", (id) => post("/oauth/v2/token", { grant_type: "password", client_id: id })],
  ["introspect", (id) => post("/oauth/v2/introspect", { token: "x" }, basic(id))],
  ["introspect, without a secret", (id) => post("/oauth/v2/introspect", { token: "x", client_id: id })],
  ["revoke", (id) => post("/oauth/v2/revoke", { token: "x" }, basic(id))],
  ["revoke, from a page", (id) => post("/oauth/v2/revoke", { token: "x" }, { ...basic(id), ...origin })],
  ["introspect, from a page", (id) => post("/oauth/v2/introspect", { token: "x" }, { ...basic(id), ...origin })],
  ["revoke, without a secret", (id) => post("/oauth/v2/revoke", { token: "x", client_id: id })],
])("%s answers all of them alike", async (_, ask) => {
  const answers = new Map<string, string[]>();
  for (const [who, id] of Object.entries(clients)) {
    const response = await ask(id);
    const { status, headers } = response;
    expect(status).toBeGreaterThanOrEqual(300);
    // Of each answer's own: its id, a session's cookie, and what guards the page to sign out.
    const kept = [...headers].filter(([name]) => !["date", "x-request-id", "set-cookie"].includes(name));
    const text = (await response.text()).replaceAll(id, "ID").replaceAll(/value="[\w-]{40,}"/g, "");
    const answer = JSON.stringify([status, kept, text, headers.getSetCookie().length]);
    answers.set(answer, [...(answers.get(answer) ?? []), who]);
  }
  expect([...answers.values()]).toEqual([Object.keys(clients)]);
});
