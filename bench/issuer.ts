// An OpenID issuer as small as one can be: it publishes one key, and signs tokens with it.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export interface BenchIssuer {
  readonly url: string;
  /** An access token for the audience `portcullis`, good for an hour, of an owner of the instance. */
  token(): Promise<string>;
  close(): void;
}

export async function startIssuer(): Promise<BenchIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const keys = [{ ...(await exportJWK(publicKey)), kid: "bench", alg: "RS256", use: "sig" }];
  const server = createServer((request, response) => {
    const answer = request.url === "/keys" ? { keys } : { issuer: url, jwks_uri: `${url}/keys` };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    token: () =>
      new SignJWT({ "urn:zitadel:iam:org:project:roles": { IAM_OWNER: { "1": "bench" } } })
        .setProtectedHeader({ alg: "RS256", kid: "bench", typ: "at+jwt" })
        .setIssuer(url)
        .setSubject("bench")
        .setAudience("portcullis")
        .setIssuedAt()
        .setExpirationTime("1h")
        .sign(privateKey),
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
