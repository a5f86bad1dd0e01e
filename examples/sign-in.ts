// A web application that signs people in at the built-in issuer (authorization code with PKCE), and calls the API with their token.
//
//   PORTCULLIS_CLIENT_ID=ID npm exec -- node examples/sign-in.ts
//
// docs/getting-started.md starts the server, registers the application and gives a user a password.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import * as openid from "openid-client";

const url = process.env["PORTCULLIS_URL"] ?? "http://127.0.0.1:8080";
const clientId = process.env["PORTCULLIS_CLIENT_ID"];
if (clientId === undefined) throw new Error("set PORTCULLIS_CLIENT_ID to the id that `client add` printed");

// Without the last scope, the token is good for the user's name and not for the API.
const scope = "openid profile urn:zitadel:iam:org:project:id:zitadel:aud";

// The server says itself where its endpoints are. Plain http is only for this machine.
const issuer = await openid.discovery(new URL(url), clientId, undefined, openid.None(), {
  execute: [openid.allowInsecureRequests],
});

/** Sends the browser to the sign-in page of the issuer. */
async function beginSignIn(response: ServerResponse): Promise<void> {
  const verifier = openid.randomPKCECodeVerifier();
  const signInPage = openid.buildAuthorizationUrl(issuer, {
    redirect_uri: redirectUri(),
    scope,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  // The issuer exchanges the code only with this verifier, so a sign-in ends in the browser that began it.
  const cookie = `verifier=${verifier}; HttpOnly; SameSite=Lax; Path=/callback; Max-Age=900`;
  response.writeHead(302, { location: signInPage.href, "set-cookie": cookie }).end();
}

/** The browser is back, with a code: exchanges it for a token, and calls the API. */
async function endSignIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const verifier = /(?:^|; )verifier=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
  if (verifier === undefined) throw new Error("no sign-in was begun in this browser");
  const here = new URL(request.url ?? "", redirectUri());
  const tokens = await openid.authorizationCodeGrant(issuer, here, { pkceCodeVerifier: verifier });
  const { sub } = tokens.claims() ?? { sub: "" };
  const { name } = await openid.fetchUserInfo(issuer, tokens.access_token, sub);

  const answer = await fetch(`${url}/management/v1/policies/login`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  if (!answer.ok) throw new Error(`the API refused the call: ${await answer.text()}`);
  const { policy } = (await answer.json()) as { policy: { secondFactors: string[]; isDefault: boolean } };
  const owner = policy.isDefault ? "the instance" : "your organization";
  const factors = policy.secondFactors.map((factor) => `<li>${factor}</li>`).join("");
  showPage(
    response,
    `<h1>Hello, ${escapeHtml(name ?? "")}</h1><p>Second factors, by ${owner}'s policy:</p><ul>${factors}</ul>`,
  );
}

const server = createServer((request, response) => {
  route(request, response).catch((error: Error) => {
    response.writeHead(500, { "content-type": "text/plain" }).end(`The sign-in failed: ${error.message}\n`);
  });
});

async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? "", redirectUri());
  if (pathname === "/") return showPage(response, '<p><a href="/sign-in">Sign in</a></p>');
  if (pathname === "/sign-in") return beginSignIn(response);
  if (pathname === "/callback") return endSignIn(request, response);
  response.writeHead(404).end();
}

function showPage(response: ServerResponse, html: string): void {
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end(`<!doctype html><title>My application</title>${html}\n`);
}

const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

const origin = (): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const redirectUri = (): string => `${origin()}/callback`;

server.listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1", () => {
  console.log(`open ${origin()}/ in a browser`);
});
