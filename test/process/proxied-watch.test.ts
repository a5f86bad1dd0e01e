// A watch through nginx with its default buffering: every answer arrives when it is sent.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { isInstalled, type RunningProxy, startBufferingNginx } from "../fixtures/proxies.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import { isLeftOut } from "../interop/left-out.ts";
import { TemporaryDirectory } from "./portcullis.ts";

const ca = readFileSync(new URL("../fixtures/tls/localhost.cert.pem", import.meta.url));
const isMissing = isLeftOut(isInstalled("nginx") ? undefined : "nginx is not on the PATH");

describe.skipIf(isMissing)("nginx with its own buffering", () => {
  let directory: TemporaryDirectory;
  let server: TestServer;
  let nginx: RunningProxy;

  const ask = async (method: string, path: string, accept: string, body?: string): Promise<IncomingMessage> => {
    const headers = { authorization: `Bearer ${server.adminToken}`, accept, "content-type": "application/json" };
    const sent = request({ host: "localhost", port: nginx.port, method, path, headers, ca, agent: false });
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return response;
  };

  beforeAll(async () => {
    directory = new TemporaryDirectory();
    server = await startTestServer();
    const port = Number(new URL(server.url).port);
    nginx = await startBufferingNginx(directory, [port, port]);
    const isUp = () => ask("GET", "/portcullis/v1/instance/loginPolicy", "*/*").catch(() => undefined);
    await vi.waitUntil(async () => (await isUp())?.resume().statusCode === 200, 30_000);
  });
  afterAll(async () => {
    await nginx?.stop();
    await server?.close({ graceMs: 0 });
    directory?.[Symbol.dispose]();
  });

  it.each(["text/event-stream", "application/x-ndjson"])("passes on a watch as %s", async (accept) => {
    const response = await ask("GET", "/portcullis/v1/loginPolicies:watch", accept);
    expect(response.statusCode).toBe(200);
    const pieces = response[Symbol.asyncIterator]();
    let text = "";
    const until = async (pattern: RegExp) => {
      while (!pattern.test(text)) {
        const { value, done } = await pieces.next();
        if (done) throw new Error(`it ended after ${text}`);
        text += value;
      }
    };
    await until(/"checkpoint"/);
    for (const forceMfa of [true, false]) {
      text = "";
      const body = JSON.stringify({ forceMfa });
      (await ask("PATCH", "/portcullis/v1/instance/loginPolicy?updateMask=forceMfa", "*/*", body)).resume();
      await until(/"change":\{.*force_mfa/);
    }
    response.destroy();
  });
});
