// zitadel-client, ZITADEL's SDK for Python: each of its ways to sign in, against the built-in issuer.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { runCommand, runJson, TemporaryDirectory } from "../process/portcullis.ts";
import { isLeftOut } from "./left-out.ts";
import { certificatePath, type PortName, ports } from "./ports.ts";
import { cache } from "./protos.ts";
import { missingProgram, run } from "./run.ts";
import { preparePython } from "./zitadel-python/prepare.ts";

const folder = fileURLToPath(new URL("zitadel-python", import.meta.url));
const leftOut = isLeftOut(missingProgram("python3"));

let python: string;
beforeAll(async () => {
  if (leftOut) return;
  const directory = join(cache, "zitadel-python");
  mkdirSync(directory, { recursive: true });
  python = await preparePython(directory);
}, 600_000);

describe.skipIf(leftOut).each(Object.keys(ports) as PortName[])("zitadel-client for Python, %s", (port) => {
  let data: TemporaryDirectory;
  let server: TestServer;

  beforeEach(async () => {
    data = new TemporaryDirectory();
    server = await startTestServer({
      ...ports[port],
      issuer: {},
      location: `sqlite:${data.join("portcullis.db")}`,
    });
    await runJson(data.path, "user", "add", "deployer", "--role", "ORG_OWNER");
  });
  afterEach(async () => {
    await server.close();
    data[Symbol.dispose]();
    expect(server.failures).toEqual([]);
  });

  const ca = port === "TLS" ? certificatePath : "";
  const sdk = (way: string, ...args: readonly string[]) =>
    run(python, ["-B", join(folder, "program.py"), way, server.url, ca, ...args], {
      env: { PATH: process.env["PATH"] },
    });

  /** The v1 API answers; the v2 API, which the SDK is made for, is not served yet. */
  async function expectServed(way: string, ...args: readonly string[]) {
    const { status, stdout, stderr } = await sdk(way, ...args);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      v1: { result: ["SECOND_FACTOR_TYPE_OTP", "SECOND_FACTOR_TYPE_U2F"] },
      v2: { status: expect.toBeOneOf([404, 501]) },
    });
  }

  async function createKeyFile(): Promise<{ readonly file: string; readonly keyId: string }> {
    const file = data.join("key.json");
    const ended = await runCommand([
      "key",
      "create",
      "--user",
      "deployer",
      "--out",
      file,
      "--data",
      data.path,
      "--json",
    ]);
    expect(ended).toMatchObject({ exitCode: 0, stderr: "" });
    return { file, keyId: (JSON.parse(ended.stdout) as { keyId: string }).keyId };
  }

  it("signs in with a key file", async () => {
    await expectServed("with_private_key", (await createKeyFile()).file);
  });

  it("is refused with a key file whose key was removed", async () => {
    const { file, keyId } = await createKeyFile();
    await runJson(data.path, "key", "remove", keyId);
    const { status, stderr } = await sdk("with_private_key", file);
    expect(status).toBe(1);
    expect(stderr).toContain("Failed to refresh token: invalid_grant");
  });

  it("signs in with client credentials", async () => {
    const secret = await runJson(data.path, "user", "secret", "deployer");
    const { clientId, clientSecret } = secret as { clientId: string; clientSecret: string };
    await expectServed("with_client_credentials", clientId, clientSecret);
  });

  it("signs in with a personal access token", async () => {
    const { token } = (await runJson(data.path, "token", "create", "--user", "deployer")) as { token: string };
    await expectServed("with_access_token", token);
  });
});
