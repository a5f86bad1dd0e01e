import pg from "pg";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { StoreError } from "../../../src/store/errors.ts";
import { isLost, isReadOnly, ReadOnlyServer, toStoreError } from "../../../src/store/postgres/errors.ts";
import { parsePostgresUrl } from "../../../src/store/postgres/location.ts";
import { fromText, toText } from "../../../src/store/postgres/text.ts";

describe("parsePostgresUrl", () => {
  it("reads one host", () => {
    const { name, hosts } = parsePostgresUrl("postgres://us%40er:p%3Aw@db.example:6543/port?application_name=x");
    expect(name).toBe("postgres://db.example:6543/port");
    expect(hosts).toMatchObject([
      { host: "db.example", port: 6543, user: "us@er", password: "p:w", database: "port", application_name: "x" },
    ]);
  });

  it("reads several hosts, each with the same parameters", () => {
    const url =
      "postgresql://u:p@a.example,b.example:5433,[::1]:5434/port?target_session_attrs=read-write&sslmode=disable";
    const { name, hosts } = parsePostgresUrl(url);
    expect(name).toBe("postgres://a.example,b.example:5433,[::1]:5434/port");
    expect(hosts.map(({ host, port, database, ssl }) => [host, port, database, ssl])).toEqual([
      ["a.example", undefined, "port", false],
      ["b.example", 5433, "port", false],
      ["::1", 5434, "port", false],
    ]);
    expect(JSON.stringify(hosts)).not.toContain("target_session_attrs");
  });

  it.each([
    "postgres:",
    "postgres:/x",
    "postgres://h:port/d",
    "postgres://h",
    "postgres://h/",
    "postgres://u:secret@h:port/d",
    "postgres://u:secret@h",
    // What has to be encoded, and is not.
    "postgres://u:p@ssecret@h/d",
    "postgres://u:p/secret@h/d",
    "postgres://u:12/secret@h/d",
    "postgres://u:12/secret@h:1/d?sslmode=disable",
    "postgres://u:p?secret@h/d",
    "postgres://u:p#secret@h/d",
    "postgres://u:p,secret/@h/d",
    "postgres://u@h/d?password=x@secret",
    "postgres://u@h/d?password=x#secret",
    "postgres://u:secret@h/d?sslmode=secret",
    "postgres://u:secret@h/d?connect_timeout=secret",
    "postgres://u:secret@h/d?connect_timeout=1000",
  ])("refuses %s, and repeats no password of it", (url) => {
    const attempt = () => parsePostgresUrl(url);
    expect(attempt).toThrow(StoreError);
    expect(attempt).not.toThrow(/secret|ssecret|12/);
  });

  it.each([
    ["postgres://u:a%40b%2Fc%3Fd%23e,f:g@h/d", "a@b/c?d#e,f:g", "postgres://h/d"],
    ["postgres://u@h/d?password=a%40b", "a@b", "postgres://h/d"],
    ["postgres://u:p@%2Ftmp%2Fsocket/d", "p", "postgres:///tmp/socket/d"],
    ["postgres://u:p@/d?host=/tmp&port=6543", "p", "postgres:///tmp:6543/d"],
  ])("reads the password of %s, and leaves it out of the name", (url, password, expected) => {
    const { name, hosts } = parsePostgresUrl(url);
    expect(name).toBe(expected);
    expect(hosts).toMatchObject([{ user: "u", password, database: "d" }]);
  });

  it("says which file cannot be read", () => {
    const attempt = () => parsePostgresUrl("postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/no/such.pem");
    expect(attempt).toThrow(
      new StoreError("unavailable", "The file /no/such.pem, which the store location names, cannot be read (ENOENT)."),
    );
  });

  it.each(["prefer", "require", "verify-ca", "verify-full"])("looks at the certificate with sslmode=%s", (mode) => {
    const warn = vi.spyOn(process, "emitWarning");
    onTestFinished(() => warn.mockRestore());
    expect(parsePostgresUrl(`postgres://u@h/d?sslmode=${mode}`).hosts).toMatchObject([{ ssl: {} }]);
    expect(warn).not.toHaveBeenCalled();
  });

  it("knows the driver's two other modes, and libpq's own reading", () => {
    const sslOf = (parameters: string) => parsePostgresUrl(`postgres://u@h/d?${parameters}`).hosts[0]?.ssl;
    expect(sslOf("sslmode=disable")).toBe(false);
    expect(sslOf("sslmode=no-verify")).toEqual({ rejectUnauthorized: false });
    expect(sslOf("sslmode=require&uselibpqcompat=true")).toEqual({ rejectUnauthorized: false });
  });

  it("reads connect_timeout in seconds", () => {
    const timeoutOf = (end: string) => parsePostgresUrl(`postgres://u@h/d${end}`).connectTimeoutMs;
    expect(["?connect_timeout=3", "?connect_timeout=0", ""].map(timeoutOf)).toEqual([3000, undefined, undefined]);
  });
});

describe("toText", () => {
  it.each(["", "plain", "a\0b", "\0", "\\", "\\0", "a\\\0b", "\\\\0", "株式会社🏰"])("keeps %j", (value) => {
    expect(toText(value)).not.toContain("\0");
    expect(fromText(toText(value))).toBe(value);
  });

  it("keeps different values apart", () => {
    const values = ["\0", "\\0", "\\\0", "0", "\\\\0"];
    expect(new Set(values.map(toText)).size).toBe(values.length);
  });
});

describe("errors of PostgreSQL", () => {
  const ofServer = (code: string) => Object.assign(new pg.DatabaseError("secret", 6, "error"), { code });
  const ofNode = (code: string) => Object.assign(new Error(`write ${code}`), { code });

  it.each([
    ["a pipe that broke", ofNode("EPIPE"), true, "unavailable"],
    ["a refused connection", ofNode("ECONNREFUSED"), true, "unavailable"],
    ["a connection that ended", new Error("Connection terminated unexpectedly"), true, "unavailable"],
    ["a server that stops", ofServer("57P01"), true, "unavailable"],
    ["a session that was idle in a transaction", ofServer("25P03"), true, "unavailable"],
    ["a statement that took too long", ofServer("57014"), false, "unavailable"],
    ["a lock that was not to be had", ofServer("55P03"), false, "unavailable"],
    ["a replica", ofServer("25006"), false, "unavailable"],
    ["a wrong password", ofServer("28P01"), false, "unavailable"],
    ["a user without rights", ofServer("42501"), false, "unavailable"],
    ["no database", ofServer("3D000"), false, "unavailable"],
    ["a full disk", ofServer("53100"), false, "unavailable"],
    ["a value that its encoding does not have", ofServer("22P05"), false, "unavailable"],
    ["a schema that went away", ofServer("42P01"), false, "unavailable"],
    ["a parameter that a pooler refuses", ofServer("08P01"), true, "unavailable"],
    ["a key that another has", ofServer("23505"), false, "conflict"],
    ["a column that is missing", ofServer("42703"), false, "corrupt"],
    ["the store's own", new StoreError("corrupt", "damaged"), false, "corrupt"],
  ] as const)("%s", (_, error, lost, code) => {
    expect(isLost(error)).toBe(lost);
    const mapped = toStoreError(error, "postgres://h/d");
    expect(mapped.code).toBe(code);
    if (mapped !== error) expect(mapped.message).toMatch(/^The store postgres:\/\/h\/d .+\.$/);
  });

  const sentenceFor = (error: unknown) => toStoreError(error, "postgres://h/d").message;
  const saying = (code: string, text: string) => Object.assign(new pg.DatabaseError(text, 6, "error"), { code });

  it.each([
    [
      "28000",
      'no pg_hba.conf entry for host "::1"',
      /refuses the user or the password: no pg_hba.conf entry for host "::1"\.$/,
    ],
    ["08P01", "unsupported startup parameter: x", /refuses the connection: unsupported startup parameter: x\.$/],
    ["53300", "sorry, too many clients already", /no room left: sorry, too many clients already\.$/],
    ["42P01", 'relation "portcullis.head" does not exist', /its schema is missing/],
  ])("of class %s say what the server says", (code, text, expected) => {
    expect(sentenceFor(saying(code, text))).toMatch(expected);
  });

  it("say that a password is missing, and why a server takes no writes", () => {
    const driver = new Error("SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string");
    expect(sentenceFor(driver)).toContain("wants a password, and the store location gives none");
    expect(sentenceFor(new ReadOnlyServer(true))).toContain("is a replica that takes no writes");
    expect(sentenceFor(new ReadOnlyServer(false))).toContain("default_transaction_read_only is on");
  });

  it("knows a replica", () => {
    expect(isReadOnly(ofServer("25006"))).toBe(true);
    expect(isReadOnly(ofServer("42501"))).toBe(false);
  });
});
