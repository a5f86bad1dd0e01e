import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LibraryService } from "../../examples/own-service/gen/library_pb.ts";
import { launchBrowser } from "../browser/browser.ts";
import { startTestServer } from "../fixtures/server.ts";
import { defineExampleTests } from "./example.ts";
import { type ExampleServer, startExample } from "./example-server.ts";
import { isLeftOut } from "./left-out.ts";
import { run } from "./run.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const example = (name: string, env: Readonly<Record<string, string>> = {}, ...flags: readonly string[]) =>
  run(process.execPath, [...flags, join("examples", name)], { cwd: root, env: { PATH: process.env["PATH"], ...env } });

describe("examples/test-against-the-api.ts", () => {
  it("passes as a test of its own", async () => {
    const { status, stdout } = await example("test-against-the-api.ts", {}, "--test", "--test-reporter=tap");
    expect(stdout).toContain("# pass 1\n");
    expect(status).toBe(0);
  });
});

describe("small programs", () => {
  for (const name of ["rest-fetch.ts", "grpc-js-client.ts"]) {
    defineExampleTests(`examples/${name}`, (env) => example(name, env));
  }
});

describe("the login pages", () => {
  it.each([
    { name: "examples/login-page.ts", program: process.execPath },
    { name: "examples/python/login_page.py", program: "python3" },
  ])("$name does each step until the person is signed in", async ({ name, program }) => {
    const server = await startTestServer();
    try {
      const env = { PATH: process.env["PATH"], PORTCULLIS_URL: server.url, PORTCULLIS_TOKEN: server.adminToken };
      const { status, stdout, stderr } = await run(program, [name], { cwd: root, env });
      expect(stdout.split("\n").map((line) => line.split(":")[0])).toEqual([
        "CHECK_PASSWORD",
        "CHECK_SECOND_FACTOR",
        "ALLOWED",
        "",
      ]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    } finally {
      await server.close();
    }
  });
});

const { browser, missing } = await launchBrowser();

describe.skipIf(isLeftOut(missing))("the pages of examples/", () => {
  let files: ChildProcess;
  let origin: string;

  beforeAll(async () => {
    files = spawn(process.execPath, ["examples/serve-page.ts", "0"], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(files.stdout as Readable, "data")) as [Buffer];
    origin = new URL(/http:\S+/.exec(line.toString())?.[0] ?? "").origin;
  });
  afterAll(async () => {
    files.kill();
    await browser?.close();
  });

  it.each([
    { name: "browser-grpc-web.html", prefix: "", refusal: "Org-2B0ps: Multifactor already exists" },
    { name: "browser-fetch.html", prefix: "SECOND_FACTOR_TYPE_", refusal: "Org-2B0ps" },
  ])("$name lists the factors, adds one, and shows why a call is refused", async ({ name, prefix, refusal }) => {
    const server = await startTestServer({ corsOrigins: [origin] });
    const shown = (...factors: readonly string[]) => factors.map((factor) => prefix + factor).join(", ");
    try {
      const page = await (browser as Browser).newPage();
      page.setDefaultTimeout(10_000);
      await page.goto(`${origin}/examples/${name}`);
      await page.getByLabel("Server").fill(server.url);
      await page.getByLabel("Token").fill(server.adminToken);
      await page.getByRole("button", { name: "List" }).click();
      await page.getByText(shown("OTP", "U2F"), { exact: true }).waitFor();
      await page.getByRole("button", { name: "Add" }).click();
      await page.getByText(shown("OTP", "U2F", "OTP_SMS"), { exact: true }).waitFor();
      await page.getByRole("button", { name: "Add" }).click();
      await page.getByText(refusal, { exact: true }).waitFor();
      await page.close();
    } finally {
      await server.close();
    }
  });

  it("serves nothing else", async () => {
    const folder = "/node_modules/ipaddr.js";
    expect(statSync(join(root, folder)).isDirectory()).toBe(true);
    const others = ["/data/admin.token", "/package.json", "/node_modules/../package.json", "/examples/", folder, "//"];
    for (const path of others) expect([path, await statusOf(path)]).toEqual([path, 404]);
  });

  /** Of a GET with this path as it is: fetch and URL change some. */
  async function statusOf(path: string): Promise<number | undefined> {
    const { hostname, port } = new URL(origin);
    const [answer] = (await once(get({ hostname, port, path }), "response")) as [IncomingMessage];
    answer.resume();
    return answer.statusCode;
  }
});

describe("examples/own-service", () => {
  let server: ExampleServer;
  let url: string;
  beforeAll(async () => {
    server = await startExample("own-service/server.ts");
    ({ url } = server);
  });
  afterAll(() => server.close());

  it("serves its annotated service as REST and as gRPC", async () => {
    const headers = { "content-type": "application/json" };
    const added = await fetch(`${url}/v1/shelves/1/books`, { method: "POST", headers, body: '{"title":"Emma"}' });
    expect(await added.json()).toEqual({ name: "shelves/1/books/1", title: "Emma" });
    const client = createClient(LibraryService, createGrpcTransport({ baseUrl: url }));
    expect(await client.getBook({ name: "shelves/1/books/1" })).toMatchObject({ title: "Emma" });
    const found = await fetch(`${url}/v1/shelves/1/books?title=mm`);
    expect(await found.text()).toBe('{"name":"shelves/1/books/1","title":"Emma"}\n');
    const misspelt = await fetch(`${url}/v1/shelves/1/books?titel=mm`);
    expect([misspelt.status, await misspelt.text()]).toEqual([400, expect.stringContaining("titel")]);
  });

  it("serves a document of its own, whose paths are there", async () => {
    const response = await fetch(`${url}/openapi.json`, { headers: { "accept-encoding": "gzip" } });
    expect([response.status, response.headers.get("content-encoding")]).toEqual([200, "gzip"]);
    const document = (await response.json()) as { info: object; tags: object; paths: Record<string, object> };
    expect(document).toMatchObject({ info: { title: "LibraryService" }, tags: [{ name: "LibraryService" }] });
    const operations = Object.entries(document.paths).map(([path, item]) => `${Object.keys(item)} ${path}`);
    expect(operations).toEqual(["get /v1/shelves/{name_1}/books/{name_2}", "post,get /v1/shelves/{shelf}/books"]);
    for (const path of Object.keys(document.paths)) {
      const { status } = await fetch(url + path.replace(/\{[^}]+\}/g, "1"), { method: "OPTIONS" });
      expect(status, path).toBe(204);
    }
  });

  it("fits on a page", () => {
    expect(readFileSync(join(root, "examples/own-service/server.ts"), "utf8").split("\n").length).toBeLessThan(30);
  });
});

describe("examples/README.md", () => {
  it("names every example", () => {
    const text = readFileSync(join(root, "examples/README.md"), "utf8");
    const names = readdirSync(join(root, "examples")).filter((name) => name !== "README.md");
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(text).toContain(name);
  });
});
