import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

describe("the packed package in an empty folder", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-package-"));
    execFileSync("npm", ["pack", "--pack-destination", folder], { cwd: root, stdio: "pipe" });
    const [archive] = readdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    execFileSync("npm", ["install", "--no-audit", "--no-fund", `./${archive}`], { cwd: folder, stdio: "pipe" });
  }, 300_000);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("holds what it needs and nothing else", () => {
    const installed = join(folder, "node_modules/portcullis");
    expect(readdirSync(installed).sort()).toEqual([
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin",
      "dist",
      "package.json",
      "proto",
    ]);
    const proto = readdirSync(join(installed, "proto"), { recursive: true, withFileTypes: true });
    expect(proto.filter((entry) => entry.isFile() && !entry.name.endsWith(".proto"))).toEqual([]);
  });

  it("runs its command", () => {
    const version = execFileSync(process.execPath, ["node_modules/.bin/portcullis", "--version"], { cwd: folder });
    expect(version.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it("serves", async () => {
    const server = spawn(process.execPath, ["node_modules/.bin/portcullis", "serve", "--listen", "127.0.0.1:0"], {
      cwd: folder,
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const url = await new Promise<string>((resolve, reject) => {
        server.stdout.on("data", (chunk: Buffer) => resolve(/http:\S+(?=;)/.exec(chunk.toString())?.[0] ?? ""));
        server.once("exit", () => reject(new Error("the server ended")));
      });
      const answer = await fetch(`${url}/management/v1/policies/login`);
      expect(answer.status).toBe(401);
    } finally {
      server.kill("SIGKILL");
    }
  });

  it("serves other people's services with portcullis/rpc, and is typed", () => {
    writeFileSync(
      join(folder, "rpc.ts"),
      `import { createDispatch, createRpcTable, type Listener, openListener } from "portcullis/rpc";
       import { createRegistry } from "@bufbuild/protobuf";
       const dispatch = createDispatch(createRpcTable(() => {}), {
         gate() {},
         interceptors: [],
         maxRequestBytes: 1024,
         registry: createRegistry(),
         onFailure() {},
       });
       const listener: Listener = await openListener({ host: "127.0.0.1", port: 0, handler: dispatch, onError() {} });
       console.log((await fetch(listener.url + "/nothing")).status);
       await listener.close();`,
    );
    expect(execFileSync(process.execPath, ["rpc.ts"], { cwd: folder }).toString()).toBe("404\n");
    // Connect's own types name HeadersInit, which TypeScript has with the DOM's.
    typecheck("rpc.ts", "es2024,dom,dom.iterable,esnext.disposable");
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
    typecheck("embed.ts", "es2024");
  });

  function typecheck(file: string, lib: string): void {
    const types = ["--typeRoots", join(root, "node_modules/@types"), "--types", "node"];
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2024", "--lib", lib, ...types];
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...options, file], {
      cwd: folder,
      stdio: "pipe",
    });
  }
});
