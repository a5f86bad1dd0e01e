import { generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { databasePath } from "./database.ts";
import { SmallDisk, skipBecause, whyNoDisk } from "./machine.ts";
import { type Ended, type ProcessOptions, runCommand, startServer, TemporaryDirectory } from "./portcullis.ts";

// What keeps a server from starting is told in one sentence, and nothing that was there is touched.

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const certFile = fixture("localhost.cert.pem");
const keyFile = fixture("localhost.key.pem");

/** Runs `serve`, which must not start. A start that hangs fails the test. */
function serve(data: string, flags: readonly string[] = [], options: ProcessOptions = {}): Promise<Ended> {
  return runCommand(["serve", "--listen", "127.0.0.1:0", "--data", data, ...flags], options);
}

function expectSentence(ended: Ended, sentence: RegExp): void {
  expect(ended).toMatchObject({ exitCode: 1, signal: null, stdout: "" });
  expect(ended.stderr).toMatch(/^portcullis: [^\n]+\n$/);
  expect(ended.stderr).toMatch(sentence);
}

describe.concurrent("serve refuses a setting", () => {
  it.for([
    ["an address without a port", ["--listen", "127.0.0.1"], /--listen must be HOST:PORT/],
    ["a certificate without a key", ["--tls-cert", certFile], /--tls-cert and --tls-key go together/],
    [
      "a certificate that is not there",
      ["--tls-cert", "/nowhere/cert.pem", "--tls-key", keyFile],
      /--tls-cert cannot be read: \/nowhere\/cert\.pem/,
    ],
    ["an origin with a path", ["--cors-origin", "https://one.example/page"], /--cors-origin must be an origin/],
    ["an unknown kind of store", ["--store", "postgres://user:secret@db/policies"], /^(?!.*secret).*postgres:/],
  ] as const)("that is %s, before it makes anything", async ([, flags, sentence]) => {
    using directory = new TemporaryDirectory();
    expectSentence(await serve(directory.join("data"), flags), sentence);
    expect(readdirSync(directory.path)).toEqual([]);
  });

  it.for([
    ["a certificate that is none", { cert: "not a certificate" }],
    ["a key that is none", { key: "not a key" }],
    [
      "another certificate's key",
      {
        key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }),
      },
    ],
  ] as const)("that is %s", async ([, wanted]) => {
    using directory = new TemporaryDirectory();
    const files = { cert: directory.join("cert.pem"), key: directory.join("key.pem") };
    copyFileSync(certFile, files.cert);
    copyFileSync(keyFile, files.key);
    for (const [name, content] of Object.entries(wanted)) writeFileSync(files[name as keyof typeof files], content);
    const ended = await serve(directory.join("data"), ["--tls-cert", files.cert, "--tls-key", files.key]);
    expectSentence(ended, /contains no (certificate|private key) in PEM|does not belong to the certificate/);
  });
});

describe.concurrent("serve cannot listen on", () => {
  it("a port in use", async () => {
    using directory = new TemporaryDirectory();
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
    try {
      const at = `127.0.0.1:${(holder.address() as AddressInfo).port}`;
      const ended = await serve(directory.join("data"), ["--listen", at]);
      expectSentence(ended, new RegExp(`cannot listen on ${at}: the port is in use`));
    } finally {
      holder.close();
    }
    // Nothing keeps the next start from working.
    await using server = await startServer({ data: directory.join("data") });
    expect(server.adminToken).not.toBe("");
  });

  it("an address of another machine", async () => {
    using directory = new TemporaryDirectory();
    const ended = await serve(directory.join("data"), ["--listen", "192.0.2.1:0"]);
    expectSentence(ended, /cannot listen on 192\.0\.2\.1:0: this machine does not have that address/);
  });
});

describe.concurrent("serve cannot keep its data in", () => {
  it("a path whose parent is a file", async () => {
    using directory = new TemporaryDirectory();
    writeFileSync(directory.join("file"), "mine");
    for (const data of [directory.join("file"), directory.join("file", "a", "b")]) {
      expectSentence(await serve(data), /a part of its path that should be a directory is a file/);
    }
    const inMemory = await serve(directory.join("file", "data"), ["--store", "memory:"]);
    expectSentence(inMemory, /admin token cannot be kept in .*admin\.token/);
    expect(readFileSync(directory.join("file"), "utf8")).toBe("mine");
  });

  it.runIf(existsSync("/proc/self"))("/proc, which takes no directories", async () => {
    // It was never there, so it is not gone either.
    expectSentence(await serve("/proc/portcullis/data"), /^(?!.*is gone).*\/proc\//);
    const inMemory = await serve("/proc/self/portcullis", ["--store", "memory:"]);
    expectSentence(inMemory, /admin token cannot be kept in \/proc\//);
  });

  it("a directory that this user may not write to", async () => {
    using directory = new TemporaryDirectory();
    const isRoot = process.getuid?.() === 0;
    mkdirSync(directory.join("locked"));
    chmodSync(directory.path, 0o755);
    chmodSync(directory.join("locked"), 0o555);
    const options = isRoot ? { uid: 65_534, cwd: "/" } : {};
    expectSentence(await serve(directory.join("locked"), [], options), /no permission/);
    expectSentence(await serve(directory.join("locked", "data"), [], options), /no permission/);
    const inMemory = await serve(directory.join("locked"), ["--store", "memory:"], options);
    expectSentence(inMemory, /admin token cannot be kept in .*admin\.token/);
    expect(readdirSync(directory.join("locked"))).toEqual([]);
  });

  it("a read-only file system", async (context) => {
    using directory = new TemporaryDirectory();
    mkdirSync(directory.join("disk"));
    using disk = SmallDisk.mount(directory.join("disk"), { sizeKb: 2048 });
    skipBecause(context, disk ? undefined : whyNoDisk);
    const old = directory.join("disk", "old");
    {
      await using server = await startServer({ data: old });
      await server.stop();
    }
    disk?.makeReadOnly();
    expectSentence(await serve(directory.join("disk", "new")), /read-only/);
    expectSentence(await serve(old), /read-only/);
    const ended = await runCommand(["org", "add", "Acme", "--data", old]);
    expectSentence(ended, /read-only/);
  });

  it("a full file system, until there is room", async (context) => {
    using directory = new TemporaryDirectory();
    mkdirSync(directory.join("disk"));
    using disk = SmallDisk.mount(directory.join("disk"), { sizeKb: 512 });
    skipBecause(context, disk ? undefined : whyNoDisk);
    const data = directory.join("disk", "data");
    // Room for the store's first pages and not for all.
    for (const freeKb of [0, 16, 60]) {
      const filler = directory.join("disk", "filler");
      writeFileSync(filler, Buffer.alloc((512 - freeKb) * 1024));
      expectSentence(await serve(data), /full/);
      writeFileSync(filler, "");
    }
    await using server = await startServer({ data });
    expect(server.adminToken).toMatch(/^portcullis_/);
    expect(readdirSync(data).filter((name) => name.includes(".new-"))).toEqual([]);
  });
});

describe.concurrent("a file that is no store of ours", () => {
  let directory: TemporaryDirectory;
  let storeFile: string;
  beforeAll(async () => {
    directory = new TemporaryDirectory();
    const data = directory.join("stopped");
    await using server = await startServer({ data });
    await server.stop();
    storeFile = databasePath(data);
  });
  afterAll(() => directory[Symbol.dispose]());

  it.for([
    ["text", (path: string) => writeFileSync(path, "remember the milk\n".repeat(500)), /is not a SQLite database/],
    ["empty", (path: string) => writeFileSync(path, ""), /is empty/],
    [
      "another program's database",
      (path: string) => {
        using db = new DatabaseSync(path);
        db.exec("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('remember the milk')");
      },
      /database of another program/,
    ],
    [
      "a store of a newer version",
      (path: string) => {
        copyFileSync(storeFile, path);
        using db = new DatabaseSync(path);
        db.exec("PRAGMA user_version = 99");
      },
      /schema version 99/,
    ],
    ["a directory", (path: string) => mkdirSync(path), /is a directory/],
    ["a link to nothing", (path: string) => symlinkSync("/nowhere/at/all", path), /symbolic link to nothing/],
  ] as const)("but %s is refused and left as it was", async ([, make, sentence]) => {
    using place = new TemporaryDirectory();
    make(databasePath(place.path));
    const look = () =>
      readdirSync(place.path, { withFileTypes: true }).map((entry) => [
        entry.name,
        entry.isFile() ? readFileSync(place.join(entry.name)).toString("latin1") : "no file",
      ]);
    const before = look();
    expectSentence(await serve(place.path), sentence);
    expect(look()).toEqual(before);
  });

  it.for([
    ["empty", ""],
    ["too short to be safe", "secret\n"],
    ["one that no header can carry", `${"x".repeat(20)},${"x".repeat(20)}\n`],
    ["not a token", "two words that are together longer than thirty-two characters\n"],
  ] as const)("nor a token: an admin.token that is %s is refused", async ([, content]) => {
    using place = new TemporaryDirectory();
    writeFileSync(place.join("admin.token"), content);
    expectSentence(await serve(place.path), /admin\.token/);
    expect(readFileSync(place.join("admin.token"), "utf8")).toBe(content);
  });
});
