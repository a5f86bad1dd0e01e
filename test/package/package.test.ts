import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { archivesOf, bytesOf, filesOf, npmInstall, typecheck } from "./pack.ts";

const root = join(import.meta.dirname, "../..");
const portcullis = ["node_modules/.bin/portcullis"];

describe("the packed package in an empty folder", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-package-"));
    const { portcullis, rpc } = archivesOf(inject("releases")[0]);
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    npmInstall(folder, portcullis, rpc);
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("holds what it needs and nothing else", () => {
    const sources = ["src", "gen"]
      .flatMap((name) => filesOf(join(root, name)).map((file) => `${name}/${file}`))
      .filter((file) => !file.startsWith("src/rpc/"));
    // Declarations that are written by hand are for the compiler alone.
    const compiled = sources.filter((file) => !file.endsWith(".d.ts")).map((file) => file.replace(/\.ts$/, ""));
    const protos = filesOf(join(root, "proto")).filter((file) => file.endsWith(".proto"));
    const pages = filesOf(join(root, "docs")).filter((file) => file.endsWith(".md"));
    expect([compiled.length > 0, protos.length > 0, pages.length > 0]).toEqual([true, true, true]);
    const wanted = [
      "CHANGELOG.md",
      "CONTRIBUTING.md",
      "LICENSE",
      "README.md",
      "SECURITY.md",
      "package.json",
      "bin/check-node.js",
      "bin/portcullis.js",
      ...compiled.flatMap((file) => [`dist/${file}.js`, `dist/${file}.d.ts`]),
      ...protos.map((file) => `proto/${file}`),
      ...pages.map((file) => `docs/${file}`),
    ];
    expect(filesOf(join(folder, "node_modules/portcullis")).sort()).toEqual(wanted.sort());
  });

  it("is what the systemd unit starts, in tens of megabytes", () => {
    const unit = readFileSync(join(root, "examples/portcullis.service"), "utf8");
    const started = /^ExecStart=\S+ \/opt\/portcullis\/(\S+) serve$/m.exec(unit)?.[1] ?? "";
    const version = execFileSync(process.execPath, [join(folder, started), "--version"]);
    expect(version.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(bytesOf(folder)).toBeLessThan(60_000_000);
  });

  it("runs its command", () => {
    const version = execFileSync(process.execPath, [...portcullis, "--version"], { cwd: folder });
    expect(version.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("serves, also what it loads only when it is asked for", async () => {
    const server = spawn(process.execPath, [...portcullis, "serve", "--listen", "127.0.0.1:0", "--dev"], {
      cwd: folder,
      env: { ...process.env, PORTCULLIS_LOG_FORMAT: "text" }, // pino-pretty writes it
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const url = await new Promise<string>((resolve, reject) => {
        server.stdout.on("data", (chunk: Buffer) => resolve(/http:\S+(?=;)/.exec(chunk.toString())?.[0] ?? ""));
        server.once("exit", () => reject(new Error("the server ended")));
      });
      const answer = await fetch(`${url}/management/v1/policies/login`);
      expect(answer.status).toBe(401);
      const discovery = await fetch(`${url}/.well-known/openid-configuration`);
      expect([discovery.status, await discovery.json()]).toEqual([200, expect.objectContaining({ issuer: url })]);
      const json = await fetch(`${url}/openapi.json`);
      expect([json.status, await json.json()]).toEqual([200, expect.objectContaining({ openapi: "3.1.0" })]);
      const yaml = await fetch(`${url}/openapi.yaml`);
      expect([yaml.status, await yaml.text()]).toEqual([200, expect.stringMatching(/^openapi: "?3\.1\.0/)]);
    } finally {
      server.kill("SIGKILL");
    }
  });

  it("says what its commands on a store do", () => {
    const help = execFileSync(process.execPath, [...portcullis, "store", "--help"], { cwd: folder });
    expect(help.toString()).toMatch(/migrate.*\n/);
  });

  it("finds its PostgreSQL engine", () => {
    const args = [...portcullis, "serve", "--listen", "127.0.0.1:0", "--store", "postgres://127.0.0.1:1/x"];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
    const sentence = "The store postgres://127.0.0.1:1/x cannot be reached: connect ECONNREFUSED 127.0.0.1:1.";
    expect({ status, stderr }).toEqual({ status: 1, stderr: `portcullis: ${sentence}\n` });
  });

  it("serves other people's services with portcullis/rpc, and is typed", () => {
    writeFileSync(
      join(folder, "rpc.ts"),
      `import { createDispatch, createRpcTable, type Listener, openListener } from "portcullis/rpc";
       const handler = createDispatch(createRpcTable(() => {}));
       const listener: Listener = await openListener({ host: "127.0.0.1", port: 0, handler });
       console.log((await fetch(listener.url + "/nothing")).status);
       await listener.close();`,
    );
    expect(execFileSync(process.execPath, ["rpc.ts"], { cwd: folder }).toString()).toBe("404\n");
    // Connect's own types name HeadersInit, which TypeScript has with the DOM's.
    typecheck(folder, { file: "rpc.ts", lib: "es2024,dom,dom.iterable,esnext.disposable" });
  });

  it("is embedded with startServer, and typed", () => {
    writeFileSync(
      join(folder, "embed.ts"),
      `import { type Server, startServer } from "portcullis";
       const server: Server = await startServer();
       const answer: Response = await fetch(server.url + "/management/v1/policies/login", {
         headers: { authorization: "Bearer " + server.adminToken },
       });
       console.log(answer.status);
       await server.close();`,
    );
    expect(execFileSync(process.execPath, ["embed.ts"], { cwd: folder }).toString()).toBe("200\n");
    typecheck(folder, { file: "embed.ts", lib: "es2024" });
  });
});

describe("a checkout that was installed without development dependencies", () => {
  let checkout: string;
  beforeAll(() => {
    checkout = mkdtempSync(join(tmpdir(), "portcullis-checkout-"));
    const files = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" }).split("\0");
    for (const file of files) if (file !== "") cpSync(join(root, file), join(checkout, file));
    execFileSync("npm", ["ci", "--omit=dev", "--no-audit", "--no-fund"], { cwd: checkout, stdio: "pipe" });
  }, 300_000);
  afterAll(() => rmSync(checkout, { recursive: true, force: true }));

  it("starts with a Node that the machine has", async () => {
    const args = ["bin/portcullis.js", "serve", "--listen", "127.0.0.1:0"];
    const server = spawn(process.execPath, args, { cwd: checkout, stdio: ["ignore", "pipe", "ignore"] });
    try {
      const [line] = await once(server.stdout, "data");
      const url = /http:\S+(?=;)/.exec(String(line))?.[0];
      expect((await fetch(`${url}/debug/ready`)).status).toBe(200);
    } finally {
      server.kill("SIGKILL");
    }
  });
});
