import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The certificate of the TLS servers, which is its own authority. */
export const certificatePath = fileURLToPath(new URL("../fixtures/tls/localhost.cert.pem", import.meta.url));
export const certificate = readFileSync(certificatePath, "utf8");
const key = readFileSync(new URL("../fixtures/tls/localhost.key.pem", import.meta.url), "utf8");

/** Options of servers to be called. */
export const ports = {
  plaintext: {},
  TLS: { tls: { cert: certificate, key } },
} as const;
export type PortName = keyof typeof ports;
