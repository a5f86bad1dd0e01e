import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError, type RawConfig, readConfig, storeLocation } from "../../src/config.ts";

const directory = mkdtempSync(join(tmpdir(), "portcullis-config-"));
afterAll(() => rmSync(directory, { recursive: true }));
const tls = join(import.meta.dirname, "../fixtures/tls");
const [certFile, keyFile] = [join(tls, "localhost.cert.pem"), join(tls, "localhost.key.pem")];
const [otherKeyFile, clientCaFile] = [join(tls, "second.key.pem"), join(tls, "client-ca.cert.pem")];
const contentOf = (path: string) => readFileSync(path, "utf8");
const missing = join(directory, "missing.pem");

let secrets = 0;
/** The path of a new file. */
function writeSecret(content: string): string {
  secrets += 1;
  const path = join(directory, `secret-${secrets}`);
  writeFileSync(path, content);
  return path;
}

const read = (raw: Partial<RawConfig> = {}, environment: NodeJS.ProcessEnv = {}) =>
  readConfig({ listen: "127.0.0.1:8080", data: "./data", ...raw }, environment);
const token = "t".repeat(32);

describe("readConfig", () => {
  it("gives a frozen config without what was not asked for", () => {
    const config = read();
    expect(config).toEqual({
      listen: { host: "127.0.0.1", port: 8080 },
      dataDirectory: "./data",
      storeLocation: "sqlite:data/portcullis.db",
      postgres: {},
      corsOrigins: [],
      corsHeaders: [],
      oidcIssuers: [],
      trustedProxies: [],
      drainDelayMs: 0,
      log: { level: "info", format: expect.stringMatching(/^(json|text)$/) },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it("reads what operators watch it by", () => {
    expect(read({ debugListen: "[::1]:9090", drainDelay: "5000", logLevel: "debug", logFormat: "text" })).toMatchObject(
      {
        debugListen: { host: "::1", port: 9090 },
        drainDelayMs: 5000,
        log: { level: "debug", format: "text" },
      },
    );
  });

  it("shares the port where it is asked to, and processes can share the store too", () => {
    for (const reusePort of [true, "true"] as const) {
      expect(read({ reusePort }).listen).toEqual({ host: "127.0.0.1", port: 8080, reusePort: true });
    }
    expect(read({ reusePort: "false", store: "memory:" }).listen).toEqual({ host: "127.0.0.1", port: 8080 });
    expect(() => read({ reusePort: "1" })).toThrow('--reuse-port must be true or false, not "1"');
    expect(() => read({ reusePort: true, listen: "[::1]:00" })).toThrow("--reuse-port needs a port in --listen");
    expect(() => read({ reusePort: true, store: "memory:" })).toThrow(
      "--reuse-port needs a store that processes share",
    );
  });

  it("reads the authorities of client certificates, which are for TLS alone", () => {
    const files = { tlsCert: certFile, tlsKey: keyFile, tlsClientCa: clientCaFile };
    expect(read(files).tls).toEqual({
      cert: contentOf(certFile),
      key: contentOf(keyFile),
      clientCa: contentOf(clientCaFile),
      files: { cert: certFile, key: keyFile, clientCa: clientCaFile },
    });
    expect(() => read({ tlsClientCa: clientCaFile })).toThrow(ConfigError);
  });

  it("reads how PostgreSQL is used", () => {
    const raw = { postgresPoolSize: "3", postgresStatementTimeout: "10", postgresConnectTimeout: "600000" };
    expect(read(raw).postgres).toEqual({ poolSize: 3, statementTimeoutMs: 10, connectTimeoutMs: 600_000 });
  });

  it.each([
    [{ drainDelay: "-1" }, '--drain-delay must be a whole number of milliseconds from 0 to 600000, not "-1"'],
    [{ callsPerCaller: "0" }, '--calls-per-caller must be a whole number from 1 to 100000, not "0"'],
    [{ watchesPerCaller: "0" }, '--watches-per-caller must be a whole number from 1 to 100000, not "0"'],
    [{ logLevel: "loud" }, '--log-level must be error, warn, info or debug, not "loud"'],
    [{ logFormat: "xml" }, '--log-format must be json or text, not "xml"'],
    [{ postgresPoolSize: "2" }, '--postgres-pool-size must be a whole number from 3 to 1000, not "2"'],
    [{ postgresPoolSize: "4.5" }, '--postgres-pool-size must be a whole number from 3 to 1000, not "4.5"'],
    [
      { postgresStatementTimeout: "5s" },
      '--postgres-statement-timeout must be a whole number of milliseconds from 10 to 600000, not "5s"',
    ],
    [
      { postgresConnectTimeout: "-1" },
      '--postgres-connect-timeout must be a whole number of milliseconds from 10 to 600000, not "-1"',
    ],
    [
      { debugListen: "127.0.0.1:8080" },
      "--debug-listen must differ from --listen; without it, --listen serves /debug too",
    ],
  ])("refuses %j", (raw, message) => {
    expect(() => read(raw)).toThrow(new ConfigError(message));
  });

  it.each([
    ["127.0.0.1:8080", "127.0.0.1", 8080],
    ["0.0.0.0:1", "0.0.0.0", 1],
    ["localhost:0", "localhost", 0],
    ["host.example:65535", "host.example", 65_535],
    ["[::1]:8080", "::1", 8080],
    ["[::]:80", "::", 80],
    ["[fe80::1%eth0]:80", "fe80::1%eth0", 80],
  ])("listens on %s", (listen, host, port) => {
    expect(read({ listen }).listen).toEqual({ host, port });
  });

  it.each([
    "",
    "8080",
    ":8080",
    "localhost",
    "localhost:",
    "localhost:http",
    "localhost:-1",
    "localhost:65536",
    "localhost:123456",
    "localhost:80 ",
    "::1:8080",
    "[::1]",
    "[]:80",
    "[::1:80",
    "http://localhost:80",
  ])("refuses to listen on %j", (listen) => {
    expect(() => read({ listen })).toThrow(
      new ConfigError(`--listen must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, not "${listen}"`),
    );
  });

  it("reads the two files of TLS", () => {
    const contents = { cert: contentOf(certFile), key: contentOf(keyFile) };
    expect(read({ tlsCert: certFile, tlsKey: keyFile }).tls).toMatchObject(contents);
  });

  it.each([{ tlsCert: certFile }, { tlsKey: keyFile }])("refuses half of TLS: %o", (half) => {
    expect(() => read(half)).toThrow(new ConfigError("--tls-cert and --tls-key go together: give both or neither"));
  });

  it.each([
    [{ tlsCert: missing, tlsKey: keyFile }, `the file of --tls-cert cannot be read: ${missing} (ENOENT)`],
    [{ tlsCert: certFile, tlsKey: missing }, `the file of --tls-key cannot be read (ENOENT)`],
    [{ tlsCert: certFile, tlsKey: directory }, `the file of --tls-key cannot be read (EISDIR)`],
  ])("names the TLS file that cannot be read: %o", (files, message) => {
    expect(() => read(files)).toThrow(new ConfigError(message));
  });

  it("names the TLS file that is no such thing, or belongs to another", () => {
    const empty = writeSecret("");
    const cipher = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "hush" } as const;
    const { privateKey } = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: cipher,
    });
    const locked = writeSecret(privateKey);
    const noKey = "contains no private key in PEM, or one with a passphrase: remove the passphrase";
    const given = (files: Partial<RawConfig>) => () => read({ tlsCert: certFile, tlsKey: keyFile, ...files });
    const refusal = (message: string) => new ConfigError(message);
    expect(given({ tlsCert: keyFile })).toThrow(
      refusal(`the file of --tls-cert contains no certificate in PEM: ${keyFile}`),
    );
    expect(given({ tlsCert: empty })).toThrow(
      refusal(`the file of --tls-cert contains no certificate in PEM: ${empty}`),
    );
    expect(given({ tlsKey: certFile })).toThrow(refusal(`the file of --tls-key ${noKey}: ${certFile}`));
    expect(given({ tlsKey: locked })).toThrow(refusal(`the file of --tls-key ${noKey}: ${locked}`));
    expect(given({ tlsKey: otherKeyFile })).toThrow(
      refusal(`the key in ${otherKeyFile} does not belong to the certificate in ${certFile}`),
    );
    expect(given({ tlsClientCa: empty })).toThrow(
      refusal(`the file of --tls-client-ca contains no certificate in PEM: ${empty}`),
    );
  });

  it.each(["*", "https://example.com", "http://localhost:3000", "http://[::1]:3000", "https://xn--mnchen-3ya.example"])(
    "allows the origin %s",
    (origin) => {
      expect(read({ corsOrigin: ["https://other.example", origin] }).corsOrigins).toEqual([
        "https://other.example",
        origin,
      ]);
    },
  );

  it.each([
    "",
    "null",
    "example.com",
    "https://example.com/",
    "https://example.com/path",
    "https://Example.com",
    "https://example.com:443",
    " https://example.com",
    "https://*.example.com/",
    "file:///x",
  ])("refuses the origin %j", (origin) => {
    expect(() => read({ corsOrigin: ["*", origin] })).toThrow(
      new ConfigError(`--cors-origin must be an origin, such as https://example.com, or *, not "${origin}"`),
    );
  });

  it.each([token, `portcullis_${"A".repeat(43)}`, "!".repeat(32), "~+-./_=#".repeat(4), "t".repeat(4096)])(
    "takes the admin token %s",
    (text) => {
      expect(read({}, { PORTCULLIS_ADMIN_TOKEN: text }).adminToken).toBe(text);
    },
  );

  it.each([
    "",
    "t",
    "t".repeat(31),
    ` ${token}`,
    `${token} `,
    `${token}\n`,
    `${token},${token}`,
    `${token}é`,
    `${token}\u007f`,
    `${token}\u0000`,
  ])("refuses the admin token %j without repeating it", (text) => {
    expect(() => read({}, { PORTCULLIS_ADMIN_TOKEN: text })).toThrow(
      new ConfigError(
        "PORTCULLIS_ADMIN_TOKEN must have at least 32 characters, all of them printable ASCII without space or comma",
      ),
    );
  });

  it.each([token, `${token}\n`, `${token}\r\n`])("reads the admin token from a file that holds %j", (content) => {
    const path = writeSecret(content);
    expect(read({}, { PORTCULLIS_ADMIN_TOKEN_FILE: path }).adminToken).toBe(token);
  });

  const notInFile = ["", "\n", "t".repeat(31), ` ${token}\n`, `${token} \n`, `${token}\n\n`, `${token}\n${token}\n`];
  const readFrom = (content: string) => () => read({}, { PORTCULLIS_ADMIN_TOKEN_FILE: writeSecret(content) });
  const wantedOfToken = "must have at least 32 characters, all of them printable ASCII without space or comma";

  it.each(notInFile)("refuses the admin token of a file that holds %j without repeating it", (content) => {
    expect(readFrom(content)).toThrow(ConfigError);
    expect(readFrom(content)).toThrow(new RegExp(`^[^\\s]+ ${wantedOfToken}$`));
  });

  it("names the setting that a refused admin token came from", () => {
    expect(readFrom("t")).toThrow(new ConfigError(`PORTCULLIS_ADMIN_TOKEN_FILE ${wantedOfToken}`));
  });

  it("names the setting of the admin token's file that cannot be read", () => {
    expect(() => read({}, { PORTCULLIS_ADMIN_TOKEN_FILE: missing })).toThrow(
      new ConfigError(`the file of PORTCULLIS_ADMIN_TOKEN_FILE cannot be read (ENOENT)`),
    );
  });

  it.each<[string, () => unknown]>([
    ["the admin token", () => read({}, { PORTCULLIS_ADMIN_TOKEN_FILE: "s3cr3t" })],
    ["the store", () => storeLocation({ data: "/data", storeFile: "postgres://gate:s3cr3t@db.example/portcullis" })],
    ["the TLS key", () => read({ tlsCert: certFile, tlsKey: "-----BEGIN PRIVATE KEY-----\ns3cr3t" })],
    ["a client's secret", () => read({ oidcIssuer: ["https://a.example,client-id=x,client-secret-file=s3cr3t"] })],
    ["an origin", () => read({ corsOrigin: ["https://ada:s3cr3t@app.example"] })],
    ["the issuer", () => read({ issuer: "https://ada:s3cr3t@login.example" })],
  ])("never repeats a secret that was given in place of its file, or in a URL (%s)", (_, act) => {
    expect(act).toThrow(ConfigError);
    expect(act).not.toThrow(/s3cr3t/);
  });

  it.each([token, "too short"])("refuses two admin tokens, be the one in the environment %s", (text) => {
    expect(() => read({}, { PORTCULLIS_ADMIN_TOKEN: text, PORTCULLIS_ADMIN_TOKEN_FILE: missing })).toThrow(
      new ConfigError("set PORTCULLIS_ADMIN_TOKEN or PORTCULLIS_ADMIN_TOKEN_FILE, not both"),
    );
  });

  describe("issuer", () => {
    it.each([true, "true"] as const)("given as %j is where the server listens", (issuer) => {
      expect(read({ issuer }).issuer).toEqual({});
      expect(read({ issuer, listen: "[::1]:0" }).issuer).toEqual({});
      expect(read({ issuer, listen: "localhost:0" }).issuer).toEqual({});
    });

    it.each([
      "https://login.example",
      "https://login.example:8443",
      "https://xn--mnchen-3ya.example",
      "https://10.0.0.1",
      "http://localhost:8080",
      "http://localhost",
      "http://127.0.0.1:8080",
      "http://127.1.2.3",
      "http://[::1]:8080",
    ])("is %s, wherever the server listens", (issuer) => {
      expect(read({ issuer }).issuer).toEqual({ url: issuer });
      expect(read({ issuer, listen: "0.0.0.0:0" }).issuer).toEqual({ url: issuer });
    });

    it.each([
      "",
      "false",
      "login.example",
      "https://login.example/",
      "https://login.example/path",
      "https://login.example?query",
      "https://login.example#part",
      "https://(hidden)@login.example",
      "https://login.example:443",
      "https://Login.example",
      "https://",
      " https://login.example",
      "http://login.example",
      "http://10.0.0.1",
      "http://0.0.0.0:8080",
      "http://localhost.example",
      "http://127.0.0.1.example",
      "http://[::2]",
      "ftp://login.example",
      "file:///login",
      "javascript:alert(1)",
    ])("is not %j", (issuer) => {
      expect(() => read({ issuer })).toThrow(
        new ConfigError(
          `--issuer must be an origin that clients reach, such as https://login.example (http:// only on a loopback address), not "${issuer}"`,
        ),
      );
    });

    it.each(["0.0.0.0:8080", "[::]:8080"])("needs a URL where the server listens on %s", (listen) => {
      for (const issuer of [true, "true"] as const) {
        expect(() => read({ issuer, listen })).toThrow(
          new ConfigError("--issuer needs a URL if the server listens on every address: --issuer https://HOST"),
        );
      }
    });

    // The same address as a URL is refused: secrets would cross a network in plaintext.
    it("needs a URL where the server listens beyond this machine without TLS, and none with it", () => {
      for (const listen of ["192.0.2.1:8080", "login.example:8080", "[2001:db8::1]:8080"]) {
        expect(read({ issuer: true, listen, tlsCert: certFile, tlsKey: keyFile }).issuer).toEqual({});
        expect(() => read({ issuer: true, listen })).toThrow(/--issuer needs a URL/);
      }
    });
  });

  describe("dev", () => {
    it.each(["127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080", "localhost:8080"])(
      "turns the issuer on and allows every origin on %s",
      (listen) => {
        expect(read({ dev: true, listen })).toMatchObject({ issuer: {}, corsOrigins: ["*"] });
      },
    );

    it.each([
      "0.0.0.0:8080",
      "[::]:8080",
      "192.0.2.1:8080",
      "dev.example:8080",
      "localhost.example:80",
      "127.example:80",
    ])("is refused on %s", (listen) => {
      expect(() => read({ dev: true, listen })).toThrow(
        new ConfigError("--dev works only on a loopback address: listen on 127.0.0.1, [::1] or localhost"),
      );
    });

    it("leaves what else was asked for as it is", () => {
      const issuer = "https://login.example";
      const corsOrigin = ["https://app.example"];
      expect(read({ dev: true, issuer, corsOrigin })).toMatchObject({
        issuer: { url: issuer },
        corsOrigins: corsOrigin,
      });
      expect(() => read({ dev: true, issuer: "login.example" })).toThrow(ConfigError);
    });
  });

  describe("corsHeaders", () => {
    const corsOrigin = ["https://app.example"];

    it.each([["x-client-version"], ["X-Client-Version", "x-tenant"], ["x-client-*"]])("allows %s", (...corsHeader) => {
      expect(read({ corsOrigin, corsHeader })).toMatchObject({ corsHeaders: corsHeader });
    });

    it("goes with --dev, where every origin may call", () => {
      expect(read({ dev: true, corsHeader: ["x-tenant"] })).toMatchObject({ corsHeaders: ["x-tenant"] });
    });

    it("is refused where no page may call", () => {
      expect(() => read({ corsHeader: ["x-tenant"] })).toThrow(
        new ConfigError("--cors-header needs --cors-origin: without it, pages of other origins may not call"),
      );
    });

    it.each(["", "*", "x-a: b", "x a", "x-*-a", "x-a\r\n", "x-a,x-b", "\u00e4"])("refuses %j", (name) => {
      expect(() => read({ corsOrigin, corsHeader: ["x-tenant", name] })).toThrow(
        new ConfigError(
          `--cors-header must be a header, such as x-client-version, or a prefix and *, such as x-client-*, not "${name}"`,
        ),
      );
    });
  });

  describe("oidcIssuers", () => {
    const url = "https://login.example";
    const defaults = {
      url,
      audience: "portcullis",
      roleClaim: "urn:zitadel:iam:org:project:roles",
      instanceRoles: false,
    };
    const secretFile = writeSecret("the secret\n");
    const introspection = { clientId: "me", clientSecret: "the secret" };

    it.each([
      [url, defaults],
      ["https://login.example/", { ...defaults, url: "https://login.example/" }],
      ["https://login.example/realms/main", { ...defaults, url: "https://login.example/realms/main" }],
      ["http://127.0.0.1:8080", { ...defaults, url: "http://127.0.0.1:8080" }],
      ["http://[::1]:8080/x", { ...defaults, url: "http://[::1]:8080/x" }],
      [`${url},audience=policies`, { ...defaults, audience: "policies" }],
      [`${url},audience=a=b c`, { ...defaults, audience: "a=b c" }],
      [`${url},role-claim=realm_access.roles`, { ...defaults, roleClaim: "realm_access.roles" }],
      [`${url},instance-roles`, { ...defaults, instanceRoles: true }],
      [`${url},client-id=me,client-secret-file=${secretFile}`, { ...defaults, introspection }],
      [
        `${url},client-secret-file=${secretFile},instance-roles,client-id=me,role-claim=r,audience=a`,
        { url, audience: "a", roleClaim: "r", instanceRoles: true, introspection },
      ],
    ])("reads %s", (text, settings) => {
      expect(read({ oidcIssuer: [text] }).oidcIssuers).toEqual([settings]);
    });

    it("keeps several in the order they are given", () => {
      const oidcIssuer = ["https://b.example", "https://a.example,audience=x", "https://b.example/"];
      expect(read({ oidcIssuer }).oidcIssuers.map((issuer) => issuer.url)).toEqual([
        "https://b.example",
        "https://a.example",
        "https://b.example/",
      ]);
    });

    it("refuses one that is named twice", () => {
      expect(() => read({ oidcIssuer: [url, "https://a.example", `${url},audience=x`] })).toThrow(
        new ConfigError(`--oidc-issuer names ${url} twice`),
      );
    });

    it.each<[string, string]>([
      ["", ""],
      ["login.example", ""],
      ["audience=x", ""],
      ["https://", ""],
      ["client-id=me,client-secret=s3cr3t", ""],
      ["http://login.example", ', not "http://login.example"'],
      ["http://10.0.0.1", ', not "http://10.0.0.1"'],
      ["http://localhost.example", ', not "http://localhost.example"'],
      ["https://login.example?x", ', not "https://login.example…"'],
      ["https://login.example#x", ', not "https://login.example…"'],
      ["https://user:s3cr3t@login.example", ', not "https://(hidden)@login.example"'],
      ["ftp://login.example", ', not "ftp://login.example"'],
      ["file:///etc/passwd", ', not "file:///etc/passwd"'],
    ])("refuses the URL %j, and repeats no secret in it", (text, quoted) => {
      for (const rest of ["", ",audience=x"]) {
        expect(() => read({ oidcIssuer: [text + rest] })).toThrow(
          new ConfigError(
            `--oidc-issuer must begin with the issuer's https:// URL (http:// only on a loopback address)${quoted}`,
          ),
        );
      }
    });

    it.each([
      ["an empty one", "", "part 1"],
      ["an unknown one", "color=red", "part 1"],
      ["one in capitals", "Audience=x", "part 1"],
      ["one with a space before it", " audience=x", "part 1"],
      ["one without its value", "audience", "audience"],
      ["one with an empty value", "role-claim=", "part 1"],
      ["a value where there is none", "instance-roles=true", "instance-roles"],
      ["one twice", "audience=x,audience=y", "audience"],
      ["a flag twice", "instance-roles,instance-roles", "instance-roles"],
      ["a part of a value that has a comma", "client-id=me,client-secret-file=/a,s3cr3t", "part 3"],
      ["a secret by another name", "client-id=me,secret=s3cr3t", "part 2"],
      ["a secret without its name", "s3cr3t", "part 1"],
    ])("refuses settings with %s, and does not repeat it", (_, settings, wrong) => {
      expect(() => read({ oidcIssuer: [`${url},${settings}`] })).toThrow(
        new ConfigError(
          `after its URL, --oidc-issuer takes audience=TEXT, role-claim=NAME, instance-roles, client-id=ID and client-secret-file=FILE, each once and separated by commas: check ${wrong}`,
        ),
      );
    });

    it("wants a file in place of a secret", () => {
      expect(() => read({ oidcIssuer: [`${url},client-id=me,client-secret=s3cr3t`] })).toThrow(
        new ConfigError("--oidc-issuer takes no secret: write it to a file and give client-secret-file=FILE"),
      );
    });

    it.each(["client-id=me", `client-secret-file=${secretFile}`, `client-secret-file=${missing}`])(
      "refuses half of a client: %s",
      (half) => {
        expect(() => read({ oidcIssuer: [`${url},${half}`] })).toThrow(
          new ConfigError("client-id and client-secret-file of --oidc-issuer go together: give both or neither"),
        );
      },
    );

    it.each([
      [missing, "ENOENT"],
      [directory, "EISDIR"],
    ])("names the setting of the secret's file that cannot be read: %s", (file, reason) => {
      expect(() => read({ oidcIssuer: [`${url},client-id=me,client-secret-file=${file}`] })).toThrow(
        new ConfigError(`the file of client-secret-file cannot be read (${reason})`),
      );
    });

    it("refuses an empty secret", () => {
      for (const content of ["", "\n"]) {
        const file = writeSecret(content);
        const text = `${url},client-id=me,client-secret-file=${file}`;
        expect(() => read({ oidcIssuer: [text] })).toThrow(/client-secret-file/);
      }
    });
  });

  describe("trustedProxies", () => {
    it.each(["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::ffff:10.0.0.1", "::1"])(
      "keeps %s",
      (proxy) => {
        expect(read({ trustedProxy: ["192.0.2.1", proxy] }).trustedProxies).toEqual(["192.0.2.1", proxy]);
      },
    );

    it.each([
      "",
      "x",
      "proxy.example",
      "10.0.0",
      "10.0.0.256",
      "10.0.0.1:80",
      "10.0.0.0/",
      "10.0.0.0/-1",
      "10.0.0.0/08",
    ])("refuses %j", (proxy) => {
      expect(() => read({ trustedProxy: ["192.0.2.1", proxy] })).toThrow(
        new ConfigError(
          `--trusted-proxy: "${proxy}" is neither an IP address nor a range such as 10.0.0.0/8 or 2001:db8::/32.`,
        ),
      );
    });

    it.each([
      ["10.0.0.0/33", "0 to 32"],
      ["2001:db8::/129", "0 to 128"],
      ["::ffff:10.0.0.0/95", "96 to 128"],
    ])("refuses the range %s", (proxy, bits) => {
      expect(() => read({ trustedProxy: [proxy] })).toThrow(
        new ConfigError(`--trusted-proxy: The range "${proxy}" needs a prefix of ${bits} bits.`),
      );
    });
  });

  it("throws what a caller can tell from a bug", () => {
    expect(new ConfigError("x")).toMatchObject({ name: "ConfigError", message: "x" });
  });
});

describe("storeLocation", () => {
  it.each([
    [{ data: "/var/lib/portcullis" }, "sqlite:/var/lib/portcullis/portcullis.db"],
    [{ data: "/data", store: "memory:" }, "memory:"],
    [{ data: "/data", store: "sqlite:/elsewhere.db" }, "sqlite:/elsewhere.db"],
  ])("of %o is %s", (raw, location) => {
    expect(storeLocation(raw)).toBe(location);
    expect(read(raw).storeLocation).toBe(location);
  });

  it("is what a file holds, without the line break at its end", () => {
    const storeFile = writeSecret("postgres://gate:secret@db.example/portcullis\n");
    expect(storeLocation({ data: "/data", storeFile })).toBe("postgres://gate:secret@db.example/portcullis");
  });

  it("is refused where its file cannot be read, or it is given twice", () => {
    expect(() => storeLocation({ data: "/data", storeFile: missing })).toThrow(
      new ConfigError(`the file of --store-file cannot be read (ENOENT)`),
    );
    expect(() => storeLocation({ data: "/data", store: "memory:", storeFile: writeSecret("memory:") })).toThrow(
      new ConfigError("give --store or --store-file, not both"),
    );
  });
});
