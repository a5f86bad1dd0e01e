// @portcullis/rpc by itself, as its README says, with the lowest and the newest versions of its peers.
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { archivesOf, bytesOf, filesOf, npmInstall, typecheck } from "./pack.ts";

const root = join(import.meta.dirname, "../..");
const example = join(root, "examples/own-service");
const readme = readFileSync(join(root, "src/rpc/README.md"), "utf8");
const manifest = JSON.parse(readFileSync(join(root, "src/rpc/package.json"), "utf8")) as {
  readonly version: string;
  readonly peerDependencies: Readonly<Record<string, string>>;
};
const lib = "es2024,dom,dom.iterable,esnext.disposable";

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "rpc-package-"));
  folders.push(folder);
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  return folder;
}

/** Runs server.ts of a folder on a free port while its URL is used. */
async function withServer(folder: string, use: (url: string) => Promise<void>): Promise<void> {
  const env = { ...process.env, PORT: "0" };
  const server = spawn(process.execPath, ["server.ts"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(server, "exit");
  try {
    const line = await Promise.race([once(server.stdout, "data"), ended]);
    await use(/http:\/\/\S+/.exec(String(line))?.[0] ?? "");
  } finally {
    server.kill();
    await ended;
  }
}

describe.each([
  { peers: "lowest", versions: Object.entries(manifest.peerDependencies).map(lowest) },
  { peers: "newest", versions: Object.keys(manifest.peerDependencies) },
])("@portcullis/rpc with the $peers versions of its peers", ({ versions }) => {
  let folder: string;
  beforeAll(() => {
    folder = newFolder();
    npmInstall(folder, archivesOf(inject("releases")[0]).rpc, ...versions);
    cpSync(join(example, "server.ts"), join(folder, "server.ts"));
    cpSync(join(example, "gen"), join(folder, "gen"), { recursive: true });
  }, 300_000);

  it("has these versions, and is typed", () => {
    for (const version of versions) {
      const [, name = "", wanted] = /^(@[^@]+)(?:@(.+))?$/.exec(version) ?? [];
      const found = JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).version;
      if (wanted !== undefined) expect([name, found]).toEqual([name, wanted]);
    }
    typecheck(folder, { file: "server.ts", lib });
  });

  it("serves all four protocols, health and a document", async () => {
    await withServer(folder, async (url) => {
      const headers = { "content-type": "application/json" };
      const body = '{"title":"Emma"}';
      const added = await fetch(`${url}/v1/shelves/1/books`, { method: "POST", headers, body });
      expect(await added.json()).toEqual({ name: "shelves/1/books/1", title: "Emma" });
      const listed = await fetch(`${url}/v1/shelves/1/books?title=mm`);
      expect(await listed.text()).toBe('{"name":"shelves/1/books/1","title":"Emma"}\n');
      for (const protocol of ["grpc", "grpcweb", "connect"]) {
        expect(
          await bufCurl(protocol, `${url}/library.v1.LibraryService/GetBook`, '{"name":"shelves/1/books/1"}'),
        ).toBe('{"name":"shelves/1/books/1","title":"Emma"}');
        const stream = await bufCurl(protocol, `${url}/library.v1.LibraryService/ListBooks`, '{"shelf":"shelves/1"}');
        expect(stream).toContain("Emma");
      }
      expect(await bufCurl("grpc", `${url}/grpc.health.v1.Health/Check`, "{}")).toBe('{"status":"SERVING"}');
      expect(await (await fetch(`${url}/openapi.json`)).json()).toMatchObject({ openapi: "3.1.0" });
    });
  });

  it("refuses a stream over HTTP/1.1 without waiting for the end of its request", async () => {
    await withServer(folder, async (url) => {
      const path = "/library.v1.LibraryService/ListBooks";
      const headers = { "content-type": "application/grpc-web+proto" };
      const call = request(url + path, { method: "POST", headers });
      // An envelope with a message of 4 GiB, of which nothing follows.
      call.write(Buffer.from([0, 255, 255, 255, 255]));
      const [answer] = (await once(call, "response")) as [IncomingMessage];
      expect(answer.headers["grpc-status"] ?? (await text(answer))).toMatch(/^8$|grpc-status: 8/);
      call.destroy();
    });
  });

  it("brings nothing but Connect's packages, in some 5 MB", () => {
    const modules = join(folder, "node_modules");
    const packages = readdirSync(modules)
      .filter((name) => !name.startsWith("."))
      .flatMap((scope) => readdirSync(join(modules, scope)).map((name) => `${scope}/${name}`));
    expect(packages.toSorted()).toEqual([...Object.keys(manifest.peerDependencies), "@portcullis/rpc"].toSorted());
    const bytes = bytesOf(modules);
    process.stdout.write(`@portcullis/rpc installs ${packages.length} packages, ${(bytes / 1e6).toFixed(1)} MB\n`);
    expect(bytes).toBeLessThan(5_500_000);
  });
});

describe("the packed @portcullis/rpc", () => {
  it("holds what it needs, and no word of the product", () => {
    const folder = newFolder();
    execFileSync("tar", ["-xzf", archivesOf(inject("releases")[0]).rpc, "-C", folder]);
    const packed = join(folder, "package");
    const files = filesOf(packed);
    const compiled = filesOf(join(root, "src/rpc"))
      .filter((file) => file.endsWith(".ts"))
      .flatMap((file) => [file.replace(/ts$/, "js"), file.replace(/ts$/, "d.ts")]);
    expect(compiled.length).toBeGreaterThan(0);
    expect(files.filter((file) => !file.startsWith("proto/")).toSorted()).toEqual(
      [...compiled, "LICENSE", "README.md", "package.json"].toSorted(),
    );
    for (const imported of ["api/annotations", "api/http", "api/httpbody", "api/field_behavior", "rpc/status"]) {
      expect(files).toContain(`proto/google/${imported}.proto`);
    }
    expect(files).toContain("proto/portcullis/rpc/v1/rest.proto");
    // Its own name, and that of its proto package.
    const ownNames = /@portcullis\/rpc|(?:portcullis\/gen\/)?portcullis(?:[._/]|\\\\|::)rpc/gi;
    for (const file of files) {
      const text = readFileSync(join(packed, file), "utf8").replaceAll(ownNames, "");
      expect([file, /portcullis|zitadel/i.exec(text)?.[0]]).toEqual([file, undefined]);
    }
  });

  it("is made of the same bytes each time, as portcullis is", () => {
    const [first, second] = inject("releases").map(archivesOf);
    for (const name of ["portcullis", "rpc"] as const) {
      expect(readFileSync(first?.[name] ?? "").equals(readFileSync(second?.[name] ?? "")), name).toBe(true);
    }
  });

  it("is what portcullis depends on, in this version alone", () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(dependencies["@portcullis/rpc"]).toBe(manifest.version);
  });
});

describe("the bill of materials of a release", () => {
  it("names every package that portcullis installs, and none for development", () => {
    const text = readFileSync(join(inject("releases")[0], "portcullis.cdx.json"), "utf8");
    const { bomFormat, components } = JSON.parse(text) as { bomFormat: string; components: { purl: string }[] };
    expect(bomFormat).toBe("CycloneDX");
    const names = components.map(({ purl }) => /^pkg:npm\/(.+)@/.exec(decodeURIComponent(purl))?.[1]);
    const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    expect(names).toEqual(expect.arrayContaining(Object.keys(dependencies)));
    for (const name of Object.keys(devDependencies)) expect(names).not.toContain(name);
  });
});

describe("the README of @portcullis/rpc", () => {
  /** The block of code after the sentence that names a file. */
  const blockOf = (file: string) =>
    readme
      .split(`\`${file}\``)[1]
      ?.split(/```\w+\n/)[1]
      ?.split("```")[0] ?? "";
  const files = ["proto/library.proto", "buf.yaml", "buf.gen.yaml", "server.ts"];

  it("shows the program of examples/own-service", () => {
    expect(readFileSync(join(example, "server.ts"), "utf8")).toContain(`\n${blockOf("server.ts")}`);
    expect(readFileSync(join(example, "library.proto"), "utf8")).toContain(`\n${blockOf("proto/library.proto")}`);
  });

  it("is enough to serve a service of one's own", async () => {
    const folder = newFolder();
    const [install = "", tools = ""] = readme.split("```sh\n")[1]?.split("\n") ?? [];
    const packages = install.replace("npm install @portcullis/rpc ", "").split(" ");
    npmInstall(folder, archivesOf(inject("releases")[0]).rpc, ...packages);
    npmInstall(folder, ...tools.replace("npm install ", "").split(" "));
    for (const file of files) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), blockOf(file));
    }
    execFileSync("npx", ["buf", "generate"], { cwd: folder, stdio: "pipe" });
    typecheck(folder, { file: "server.ts", lib });
    const calls = readme.split("```sh\n")[2]?.split("```")[0] ?? "";
    await withServer(folder, async (url) => {
      const script = calls.replaceAll("http://127.0.0.1:8081", url);
      const { stdout } = await promisify(execFile)("bash", ["-ec", script], { cwd: folder });
      const found = [...stdout.matchAll(/"title": ?"Emma"/g)];
      expect([found.length, stdout]).toEqual([3, expect.stringContaining("shelves/1/books/1")]);
    });
  });
});

function lowest([name, range]: readonly [string, string]): string {
  const version = /^\^(\d+\.\d+\.\d+)$/.exec(range)?.[1];
  if (version === undefined) throw new Error(`${name} has the range ${range}, which begins with no version`);
  return `${name}@${version}`;
}

/** An answer to buf curl, which learns the schema by reflection, in one line. */
async function bufCurl(protocol: string, url: string, data: string): Promise<string> {
  const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
  const flags = ["--protocol", protocol, "--reflect-protocol", "grpc-v1", "--http2-prior-knowledge", "--data", data];
  const { stdout } = await promisify(execFile)(process.execPath, [buf, "curl", ...flags, url]);
  return JSON.stringify(JSON.parse(stdout));
}
