import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { adminTokenPath, provideAdminToken } from "../../../src/auth/admin-token.ts";

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "portcullis-token-"));
  directory = join(root, "new", "data");
});
afterEach(() => rmSync(root, { recursive: true }));

describe("provideAdminToken", () => {
  it("creates the directory and the file, both for their owner alone", () => {
    const token = provideAdminToken(directory);
    expect(token).toMatch(/^portcullis_[A-Za-z0-9_-]{43}$/);
    expect(readFileSync(join(directory, "admin.token"), "utf8")).toBe(`${token}\n`);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(adminTokenPath(directory)).mode & 0o777).toBe(0o600);
  });

  it("leaves no other file behind", () => {
    provideAdminToken(directory);
    provideAdminToken(directory);
    expect(readdirSync(directory)).toEqual(["admin.token"]);
  });

  it("gives the same token from then on", () => {
    const token = provideAdminToken(directory);
    expect(provideAdminToken(directory)).toBe(token);
  });

  it("never replaces a token that is there", () => {
    const mine = "m".repeat(32);
    writeFileSync(join(root, "admin.token"), `${mine}\n`);
    expect(provideAdminToken(root)).toBe(mine);
    expect(readFileSync(join(root, "admin.token"), "utf8")).toBe(`${mine}\n`);
  });

  it.each(["", "\n", "short\n", `two ${"words".repeat(10)}`])("refuses a file that holds %j", (text) => {
    writeFileSync(join(root, "admin.token"), text);
    expect(() => provideAdminToken(root)).toThrow("the file contains no token: remove it");
  });

  it("gives the same token to processes that start at once", async () => {
    const module = new URL("../../../src/auth/admin-token.ts", import.meta.url).href;
    const program = `import { provideAdminToken } from ${JSON.stringify(module)};
      process.stdout.write(provideAdminToken(${JSON.stringify(directory)}));`;
    const runs = await Promise.all(
      Array.from({ length: 4 }, () => promisify(execFile)(process.execPath, ["--input-type=module", "-e", program])),
    );
    const token = readFileSync(adminTokenPath(directory), "utf8").trim();
    expect(runs.map(({ stdout }) => stdout)).toEqual([token, token, token, token]);
    expect(readdirSync(directory)).toEqual(["admin.token"]);
  });

  it.each([
    ["the directory is a file", "occupied"],
    ["the directory is below a file", "occupied/data"],
  ])("throws Node's error where %s", (_, place) => {
    writeFileSync(join(root, "occupied"), "");
    expect(() => provideAdminToken(join(root, place))).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(EEXIST|ENOTDIR)$/) }),
    );
  });
});
