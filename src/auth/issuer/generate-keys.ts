import { generateKeyPair, type KeyObject, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { IssuerKeys } from "../../application/issuer-keys.ts";

const generate = promisify(generateKeyPair);

/** RSA, as every OpenID client can verify it and ZITADEL's key files hold it; 2048 bits are what NIST asks for until 2030. */
const modulusLength = 2048;

/** Fresh keys for the issuer: one to sign ID tokens with, and a secret for its cookies. */
export async function generateIssuerKeys(now: number): Promise<IssuerKeys> {
  const { privateKey } = await generate("rsa", { modulusLength });
  const key: KeyObject = privateKey;
  const kid = randomBytes(12).toString("base64url");
  const jwk = { ...key.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
  return { signing: [{ kid, createdAt: now, jwk }], cookieSecret: randomBytes(32).toString("base64url") };
}

/** A key pair for a user, in PEM: PKCS #1 for the private half, as ZITADEL's key files have it. */
export async function generateUserKey(): Promise<{ readonly publicKey: string; readonly privateKey: string }> {
  return generate("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
}
