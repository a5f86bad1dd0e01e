import { execFileSync } from "node:child_process";
import { call, list, type Target } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { type Contender, compete, figuresOf } from "../h2load.ts";
import { startIssuer } from "../issuer.ts";
import { root, startPortcullis, temporaryDirectory } from "../processes.ts";
import type { Report } from "../report.ts";
import { ratiosOf } from "../statistics.ts";
import { makeStore } from "../store-fixture.ts";

/** The same calls over REST with tokens of each kind. */
export async function measureTokens(effort: Effort): Promise<Report> {
  const directory = temporaryDirectory();
  const personal = await makeStore(directory, 0);
  const issuer = await startIssuer();
  const flags = ["--issuer", "--oidc-issuer", `${issuer.url},instance-roles`];
  const server = await startPortcullis(directory, { flags });
  const outside = await issuer.token();
  const issued = await getIssuedToken(server.url, directory);

  const get = { path: "/management/v1/policies/login" };
  const search = { path: list.route, body: Buffer.from("{}") };
  const contender = async (name: string, request: Pick<Target, "path" | "body">, token: string): Promise<Contender> => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const target: Target = { url: server.url, http: 1, headers, ...request };
    const answer = await call({ ...target, headers: { ...headers, authorization: `Bearer ${personal}` } });
    return { name, target, answer, load: "full" };
  };
  const contenders = {
    getPersonal: await contender("Get, personal access token", get, personal),
    getOutside: await contender("Get, JWT of an outside issuer", get, outside),
    getIssued: await contender("Get, token of the built-in issuer", get, issued),
    listPersonal: await contender("List, personal access token", search, personal),
    listOutside: await contender("List, JWT of an outside issuer", search, outside),
    listIssued: await contender("List, token of the built-in issuer", search, issued),
  };
  const measured = await compete(contenders, effort);
  issuer.close();
  await server.stop();

  const ratio = (one: keyof typeof contenders, base: keyof typeof contenders) =>
    ratiosOf(measured[one].perSecond, measured[base].perSecond);
  return {
    rows: [
      { what: "Get, JWT of an outside issuer / personal access token", ratios: ratio("getOutside", "getPersonal") },
      { what: "Get, token of the built-in issuer / personal access token", ratios: ratio("getIssued", "getPersonal") },
      { what: "List, JWT of an outside issuer / personal access token", ratios: ratio("listOutside", "listPersonal") },
      {
        what: "List, token of the built-in issuer / personal access token",
        ratios: ratio("listIssued", "listPersonal"),
      },
    ],
    figures: figuresOf(contenders, measured),
  };
}

/** A token of `admin`, by client credentials. */
async function getIssuedToken(url: string, directory: string): Promise<string> {
  const command = ["bin/portcullis.js", "user", "secret", "admin", "--json", "--data", directory];
  const { clientId, clientSecret } = JSON.parse(
    execFileSync(process.execPath, command, { cwd: root }).toString(),
  ) as Record<"clientId" | "clientSecret", string>;
  const answer = await fetch(`${url}/oauth/v2/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString("base64")}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      scope: "openid urn:zitadel:iam:org:project:id:zitadel:aud",
    }),
  });
  const { access_token: token } = (await answer.json()) as { readonly access_token: string };
  return token;
}
