import { generateKeyPair, type KeyObject, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import type { IssuerKeys } from "../../application/issuer-keys.ts";

const generate = promisify(generateKeyPair);

/** Every OpenID client verifies RSA, and ZITADEL's key files contain it. NIST accepts 2048 bits until 2030. */
const modulusLength = 2048;

/** New keys for the issuer: a signing key for ID tokens, and a secret for cookies. */
export async function generateIssuerKeys(now: number): Promise<IssuerKeys> {
  const { privateKey } = await generate("rsa", { modulusLength });
  const key: KeyObject = privateKey;
  const kid = randomBytes(12).toString("base64url");
  const jwk = { ...key.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" };
  return { signing: [{ kid, createdAt: now, jwk }], cookieSecret: randomBytes(32).toString("base64url") };
}

/** A key pair for a user in PEM. The private half is PKCS #1, as in ZITADEL's key files. */
export async function generateUserKey(): Promise<{ readonly publicKey: string; readonly privateKey: string }> {
  return generate("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
}
