import { randomUUID } from "node:crypto";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { organizationRef } from "../../src/store/store.ts";
import { OwnServer, query } from "../fixtures/postgres.ts";
import { addOrganization } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const certificate = fixture("localhost.cert.pem");
const key = fixture("localhost.key.pem");
// Signed neither certificate above.
const otherAuthority = fileURLToPath(new URL("fixtures/other-authority.cert.pem", import.meta.url));

const server = new OwnServer();
let directory: string;

/** A file that belongs to the server's user, which wants to be the only one to read a key. */
function forServer(name: string, write: (path: string) => void): string {
  const path = join(directory, name);
  write(path);
  chmodSync(path, 0o600);
  if (process.getuid?.() === 0) chownSync(path, 65_534, 65_534);
  return path;
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "portcullis-tls-"));
  chmodSync(directory, 0o755);
  await server.start({
    listen_addresses: "127.0.0.1,127.0.0.2",
    ssl: "on",
    ssl_cert_file: forServer("server.pem", (path) => copyFileSync(certificate, path)),
    ssl_key_file: forServer("server.key", (path) => copyFileSync(key, path)),
    ssl_ca_file: forServer("authority.pem", (path) => copyFileSync(certificate, path)),
    hba_file: forServer("hba.conf", (path) =>
      writeFileSync(
        path,
        "host all plain 127.0.0.1/32 trust\nhost all asked 127.0.0.1/32 scram-sha-256\nhostssl all postgres 127.0.0.1/32 trust clientcert=verify-ca\n",
      ),
    ),
  });
  await query(`${server.url}?${clientCertificate}`, "CREATE ROLE plain LOGIN SUPERUSER");
});
afterAll(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const rootCertificate = `sslmode=verify-full&sslrootcert=${certificate}`;
const clientCertificate = `${rootCertificate}&sslcert=${certificate}&sslkey=${key}`;
const plainUser = (): string => server.url.replace("postgres@", "plain@");

describe("TLS to PostgreSQL", () => {
  it("is used as the URL says, with a certificate of one's own where the server wants it", async () => {
    const store = await openStore({ location: `${server.url}?${clientCertificate}` });
    onTestFinished(() => store.close());
    await store.execute(addOrganization("a"));
    const { rows } = await query(
      plainUser(),
      `SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'portcullis'`,
    );
    expect(rows).toEqual([{ ssl: true }]);
  });

  it("is refused by a server that wants a certificate and is shown none", async () => {
    await expectStoreError(openStore({ location: `${server.url}?${rootCertificate}` }), "unavailable");
  });

  it("is refused where another authority signed the server's certificate", async () => {
    const location = `${plainUser()}?sslmode=verify-full&sslrootcert=${otherAuthority}`;
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toContain("self-signed certificate");
  });

  // Elsewhere that address is not this machine.
  it.runIf(process.platform === "linux")("is refused where the certificate names another host", async () => {
    const location = `${plainUser().replace("127.0.0.1", "127.0.0.2")}?${rootCertificate}`;
    expect(await expectStoreError(openStore({ location }), "unavailable")).toContain("does not match");
  });
});

describe("a server that wants a password", () => {
  beforeAll(() => query(plainUser(), "CREATE ROLE asked LOGIN PASSWORD 'right'"));

  it.each([
    ["is given none", "asked", "wants a password, and the store location gives none"],
    ["is given a wrong one", "asked:wrong-one", 'password authentication failed for user "asked"'],
    ["is asked by somebody unknown", "nobody:wrong-one", 'no pg_hba.conf entry for host "127.0.0.1", user "nobody"'],
  ])("says so where it %s", async (_, user, sentence) => {
    const location = server.url.replace("postgres@", `${user}@`);
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toContain(sentence);
    expect(message).not.toContain("wrong-one");
  });
});

describe("what processes leave behind to be found again", () => {
  it("is removed a day later, by the first commit of another", async () => {
    const day = 24 * 60 * 60 * 1000;
    const writers = async () => {
      const { rows } = await query(plainUser(), "SELECT last_commit FROM portcullis.writers");
      return rows.length;
    };
    const openAt = async (time: number) => {
      const store = await openStore({ location: plainUser(), clock: () => time });
      onTestFinished(() => store.close());
      return store;
    };
    await query(plainUser(), "DROP SCHEMA IF EXISTS portcullis CASCADE");
    const now = Date.now();
    await (await openAt(now)).execute(addOrganization("b"));
    await (await openAt(now + day)).execute(addOrganization("c"));
    expect(await writers()).toBe(2);
    const later = await openAt(now + day + 1);
    await later.execute(addOrganization("d"));
    expect(await writers()).toBe(2);
    await later.execute(addOrganization("e"));
    expect(await writers()).toBe(2);
  });
});

/** The server's words when it ends a session: an ErrorResponse of PostgreSQL's protocol. */
function endOfSession(): Buffer {
  const fields = Buffer.from("SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0");
  const header = Buffer.alloc(5);
  header.write("E");
  header.writeInt32BE(4 + fields.length, 1);
  return Buffer.concat([header, fields]);
}

/** Sends what goes to the server on. `endNext` ends the next session in the same packet that says that it is ready. */
async function startEndingProxy(): Promise<{ readonly port: number; endNext(): void }> {
  const ready = Buffer.from("5a0000000549", "hex");
  let isNext = false;
  const proxy = createServer((client) => {
    const upstream = connect(Number(new URL(server.url).port), "127.0.0.1");
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.pipe(upstream).on("close", () => client.destroy());
    upstream.on("data", (chunk: Buffer) => {
      const ends = isNext && chunk.includes(ready);
      if (ends) isNext = false;
      client.write(ends ? Buffer.concat([chunk, endOfSession()]) : chunk);
      if (ends) upstream.destroy();
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void proxy.close());
  return {
    port: (proxy.address() as AddressInfo).port,
    endNext() {
      isNext = true;
    },
  };
}

it("goes on with another connection where the server ends one that is just made", async () => {
  const proxy = await startEndingProxy();
  const location = new URL(plainUser());
  location.port = String(proxy.port);
  const store = await openStore({ location: location.href });
  onTestFinished(() => store.close());
  const id = randomUUID();
  await store.execute(addOrganization(id));
  proxy.endNext();
  await query(
    plainUser(),
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'portcullis'",
  );
  const view = await store.read([organizationRef(id)]);
  expect(view.get(organizationRef(id)).version).toBe(1);
});
