import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../fixtures/server.ts";

/** The certificate of the TLS servers, which is its own authority. */
export const certificatePath = fileURLToPath(new URL("../fixtures/tls/localhost.cert.pem", import.meta.url));
export const certificate = readFileSync(certificatePath, "utf8");
const key = readFileSync(new URL("../fixtures/tls/localhost.key.pem", import.meta.url), "utf8");

export const ports = {
  plaintext: {},
  TLS: { tls: { cert: certificate, key } },
} as const;
export type PortName = keyof typeof ports;

/** A server, and whose call it is. */
export interface Target {
  readonly url: string;
  readonly token: string;
}

/** What a client tells of a call that the server refused. */
export interface Refused {
  readonly code: number;
  /** Without what the client itself adds to it. */
  readonly message: string;
  /** The id in the ErrorDetail. */
  readonly detailId: string | undefined;
}

/** A foreign client behind the few calls of these tests. Factors are named as in JSON. */
export interface FactorClient {
  list(): Promise<readonly string[]>;
  /** Resolves to what was refused, if it was. */
  add(factor: string): Promise<Refused | undefined>;
  close?(): void;
}

export interface ClientSuite {
  /** The client, and how it calls. */
  readonly name: string;
  /** By default plaintext and TLS. */
  readonly over?: readonly PortName[];
  readonly open: (target: Target) => FactorClient;
}

/** What every client can do, each test with a fresh server. */
export function defineClientSuite({ name, over = ["plaintext", "TLS"], open }: ClientSuite): void {
  describe.each(over)(`${name}, %s`, (port) => {
    let server: TestServer;
    let client: FactorClient;

    beforeEach(async () => {
      server = await startTestServer(ports[port]);
      client = open({ url: server.url, token: server.adminToken });
    });
    afterEach(async () => {
      client.close?.();
      await server.close();
      expect(server.failures).toEqual([]);
    });

    it("lists the factors of a new organization", async () => {
      expect(await client.list()).toEqual(["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F"]);
    });

    it("adds a factor, which the next list shows", async () => {
      expect(await client.add("SECOND_FACTOR_TYPE_OTP_SMS")).toBeUndefined();
      expect(await client.list()).toEqual([
        "SECOND_FACTOR_TYPE_OTP",
        "SECOND_FACTOR_TYPE_U2F",
        "SECOND_FACTOR_TYPE_OTP_SMS",
      ]);
    });

    it("tells the code, text and detail of a refused call", async () => {
      await client.add("SECOND_FACTOR_TYPE_OTP_SMS");
      expect(await client.add("SECOND_FACTOR_TYPE_OTP_SMS")).toEqual({
        code: Code.AlreadyExists,
        message: "Multifactor already exists (Org-2B0ps)",
        detailId: "Org-2B0ps",
      });
    });

    it("tells why a token is not accepted", async () => {
      const stranger = open({ url: server.url, token: "wrong" });
      const refused = await stranger.add("SECOND_FACTOR_TYPE_OTP_SMS");
      stranger.close?.();
      expect(refused).toMatchObject({ code: Code.Unauthenticated, detailId: "AUTH-7fs1e" });
    });
  });
}
