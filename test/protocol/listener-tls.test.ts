import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { request as http1Request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { watchTls } from "../../src/process/watch-tls.ts";
import type { Listener } from "../../src/rpc/listener/listener.ts";
import { call2, cutsOf, open, rawClient, session2, tls } from "./listener-clients.ts";

const fixture = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}`, import.meta.url), "utf8");
const second = { cert: fixture("second.cert.pem"), key: fixture("second.key.pem") };
const clientCa = fixture("client-ca.cert.pem");
const client = { cert: fixture("client.cert.pem"), key: fixture("client.key.pem") };
const trusted = { ca: [tls.cert, second.cert], servername: "localhost" };

const fingerprint = (pem: string) => new X509Certificate(pem).fingerprint256;

/** The fingerprint of the certificate that a new connection is shown. */
async function shown({ port }: Listener, options: ConnectionOptions = {}): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", ...trusted, ...options });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

describe("replaceTls", () => {
  it.each(["", "no PEM"])(
    "takes no %j for authorities of clients: without any, all that are public would do",
    async (none) => {
      const ofOpenSsl = expect.objectContaining({ code: expect.stringMatching(/^ERR_OSSL/) });
      await expect(open({ tls: { ...tls, clientCa: none } })).rejects.toEqual(ofOpenSsl);
      const listener = await open({ tls: { ...tls, clientCa } });
      expect(() => listener.replaceTls({ ...second, clientCa: none })).toThrow(ofOpenSsl);
      expect(await shown(listener, client)).toBe(fingerprint(tls.cert));
    },
  );

  it("shows the new certificate to new connections, and leaves those that are open alone", async () => {
    const listener = await open({ tls });
    const raw = await rawClient(listener, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    await raw.until(/"body":""/);
    const session = session2(listener);
    await call2(session, { ":path": "/" });
    expect(await shown(listener)).toBe(fingerprint(tls.cert));
    listener.replaceTls(second);
    expect(await shown(listener)).toBe(fingerprint(second.cert));
    raw.socket.write("GET /again HTTP/1.1\r\nHost: h\r\n\r\n");
    await raw.until(/\/again/);
    expect((await call2(session, { ":path": "/" })).status).toBe(200);
  });

  it.each([
    { name: "a key of another certificate", next: { cert: second.cert, key: tls.key }, code: /^ERR_OSSL/ },
    { name: "no PEM", next: { cert: "no PEM", key: "no PEM" }, code: /^ERR_OSSL/ },
    // As where a file is being written anew.
    { name: "an empty certificate", next: { cert: "", key: tls.key }, code: /^ERR_OSSL/ },
    { name: "an empty key", next: { cert: tls.cert, key: "" }, code: /^ERR_OSSL/ },
  ])("refuses $name, and keeps the old ones", async ({ next, code }) => {
    const listener = await open({ tls });
    expect(() => listener.replaceTls(next)).toThrow(expect.objectContaining({ code: expect.stringMatching(code) }));
    expect(await shown(listener)).toBe(fingerprint(tls.cert));
  });

  it("refuses to begin or to cease to ask for client certificates, and to bring TLS to a plaintext port", async () => {
    const plain = await open();
    expect(() => plain.replaceTls(tls)).toThrow(/plaintext/);
    const without = await open({ tls });
    expect(() => without.replaceTls({ ...second, clientCa })).toThrow(/cannot change/);
    const withCa = await open({ tls: { ...tls, clientCa } });
    expect(() => withCa.replaceTls(second)).toThrow(/cannot change/);
  });
});

describe("clientCa", () => {
  /** The answers over both versions, or what went wrong. */
  async function callWith(listener: Listener, certificate: { cert: string; key: string } | undefined) {
    const options = { ...trusted, ...certificate };
    const first = new Promise<unknown>((resolve) => {
      const sent = http1Request(`${listener.url}/`, { ...options, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on("error", () => resolve("refused"));
      sent.on("close", () => resolve("refused"));
      sent.end();
    });
    const session = connectHttp2(listener.url, options);
    const secondAnswer = new Promise<unknown>((resolve) => {
      const stream = session.request({ ":path": "/" });
      stream.once("response", (headers) => resolve(headers[":status"]));
      for (const one of [session, stream]) one.on("error", () => resolve("refused"));
      stream.once("close", () => resolve("refused"));
    });
    const answers = await Promise.all([first, secondAnswer]);
    session.destroy();
    return answers;
  }

  it("serves who shows a certificate of it, and refuses others with the handshake", async () => {
    const requests: unknown[] = [];
    const listener = await open({
      tls: { ...tls, clientCa },
      handler(req, res) {
        requests.push(req.url);
        res.end();
      },
    });
    expect(await callWith(listener, client)).toEqual([200, 200]);
    expect(requests).toHaveLength(2);
    expect(cutsOf(listener)).toEqual({});
    // None at all, and one that it did not sign.
    for (const certificate of [undefined, second]) {
      expect(await callWith(listener, certificate)).toEqual(["refused", "refused"]);
    }
    expect(requests).toHaveLength(2);
    expect(cutsOf(listener)).toEqual({ tls_handshake: 4 });
    expect(await callWith(listener, client)).toEqual([200, 200]);
  });

  it("is replaced with the certificate, also for those who resume a session", async () => {
    const listener = await open({ tls: { ...tls, clientCa } });
    const socket = connect({ port: listener.port, host: "127.0.0.1", ...trusted, ...client });
    socket.resume();
    const [session] = await once(socket, "session");
    socket.destroy();
    listener.replaceTls({ ...second, clientCa: second.cert });
    expect(await callWith(listener, client)).toEqual(["refused", "refused"]);
    const resumed = connect({ port: listener.port, host: "127.0.0.1", ...trusted, ...client, session });
    resumed.on("error", () => {});
    resumed.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let text = "";
    resumed.on("data", (chunk: Buffer) => {
      text += chunk;
    });
    await new Promise((resolve) => resumed.once("close", resolve));
    expect(text).toBe("");
  });
});

describe("watchTls", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "portcullis-tls-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** Certificate and key in two files, and a watch that looks when it is told. */
  async function watched() {
    const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") };
    const listener = await open({ tls });
    const errors: string[] = [];
    let replaced = 0;
    const watch = () =>
      watchTls({
        files,
        current: tls,
        replace: (next) => listener.replaceTls(next),
        onReplaced: () => {
          replaced += 1;
        },
        onError: (error) => errors.push(error.message),
        intervalMs: 1_000_000,
      });
    return { files, listener, errors, watch, replaced: () => replaced };
  }
  const write = (files: { cert: string; key: string }, { cert, key }: { cert: string; key: string }) => {
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);
  };

  it("takes files that were renamed into place, and does nothing while they stay", async () => {
    const { files, listener, watch, replaced, errors } = await watched();
    write(files, tls);
    const { look, close } = watch();
    await look();
    expect(replaced()).toBe(0);
    for (const [name, text] of Object.entries(second)) {
      writeFileSync(join(directory, "new"), text);
      renameSync(join(directory, "new"), files[name as "cert" | "key"]);
    }
    await look();
    await look();
    expect(replaced()).toBe(1);
    expect(await shown(listener)).toBe(fingerprint(second.cert));
    expect(errors).toEqual([]);
    close();
  });

  it("takes files behind a symbolic link to a folder that is swapped, as Kubernetes does", async () => {
    const { files, listener, watch } = await watched();
    const folders = { first: mkdtempSync(join(directory, "1-")), second: mkdtempSync(join(directory, "2-")) };
    write({ cert: join(folders.first, "cert.pem"), key: join(folders.first, "key.pem") }, tls);
    write({ cert: join(folders.second, "cert.pem"), key: join(folders.second, "key.pem") }, second);
    const data = join(directory, "..data");
    symlinkSync(folders.first, data);
    for (const [name, path] of Object.entries(files)) symlinkSync(join("..data", `${name}.pem`), path);
    const { look, close } = watch();
    symlinkSync(folders.second, `${data}.new`);
    renameSync(`${data}.new`, data);
    await look();
    expect(await shown(listener)).toBe(fingerprint(second.cert));
    close();
  });

  it("keeps the old ones while the files do not go together, and says so once where that lasts", async () => {
    const { files, listener, watch, errors, replaced } = await watched();
    write(files, { cert: second.cert, key: tls.key });
    const { look, close } = watch();
    await look();
    expect(errors).toEqual([]);
    for (let turn = 0; turn < 3; turn += 1) await look();
    expect(errors).toEqual([expect.stringMatching(/mismatch/i)]);
    expect(await shown(listener)).toBe(fingerprint(tls.cert));
    unlinkSync(files.key);
    for (let turn = 0; turn < 3; turn += 1) await look();
    expect(errors).toEqual([expect.anything(), expect.stringMatching(/ENOENT/)]);
    write(files, second);
    await look();
    expect(replaced()).toBe(1);
    expect(await shown(listener)).toBe(fingerprint(second.cert));
    close();
  });

  it("looks by itself", async () => {
    const { files, listener } = await watched();
    write(files, second);
    const { promise, resolve } = Promise.withResolvers<void>();
    const { close } = watchTls({
      files,
      current: tls,
      replace: (next) => listener.replaceTls(next),
      onReplaced: resolve,
      onError: () => {},
      intervalMs: 10,
    });
    await promise;
    close();
    expect(await shown(listener)).toBe(fingerprint(second.cert));
  });
});
