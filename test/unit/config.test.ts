import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ConfigError, type RawConfig, readConfig, storeLocation } from "../../src/config.ts";

const directory = mkdtempSync(join(tmpdir(), "portcullis-config-"));
afterAll(() => rmSync(directory, { recursive: true }));
const certFile = join(directory, "cert.pem");
const keyFile = join(directory, "key.pem");
writeFileSync(certFile, "the certificate");
writeFileSync(keyFile, "the key");
const missing = join(directory, "missing.pem");

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
      corsOrigins: [],
    });
    expect(Object.isFrozen(config)).toBe(true);
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
      new ConfigError(`--listen must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080, and not "${listen}"`),
    );
  });

  it("reads the two files of TLS", () => {
    expect(read({ tlsCert: certFile, tlsKey: keyFile }).tls).toEqual({ cert: "the certificate", key: "the key" });
  });

  it.each([{ tlsCert: certFile }, { tlsKey: keyFile }])("refuses half of TLS: %o", (half) => {
    expect(() => read(half)).toThrow(new ConfigError("--tls-cert and --tls-key go together: give both or neither"));
  });

  it.each([
    [{ tlsCert: missing, tlsKey: keyFile }, `the file of --tls-cert cannot be read: ${missing} (ENOENT)`],
    [{ tlsCert: certFile, tlsKey: missing }, `the file of --tls-key cannot be read: ${missing} (ENOENT)`],
    [{ tlsCert: certFile, tlsKey: directory }, `the file of --tls-key cannot be read: ${directory} (EISDIR)`],
  ])("names the TLS file that cannot be read: %o", (files, message) => {
    expect(() => read(files)).toThrow(new ConfigError(message));
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
      new ConfigError(`--cors-origin must be an origin, such as https://example.com, or *, and not "${origin}"`),
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
});
