import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "vite";

/** A script of `page/`, with the client libraries in it. */
export async function bundlePageScript(entry = "clients.ts"): Promise<string> {
  const bundles = await build({
    configFile: false,
    logLevel: "warn",
    root: fileURLToPath(new URL("page", import.meta.url)),
    build: { write: false, minify: false, lib: { entry, formats: ["iife"], name: "pageClients" } },
  });
  const script = [bundles].flat().flatMap((bundle) => ("output" in bundle ? bundle.output : []))[0];
  if (script?.type !== "chunk") throw new Error("vite made no script");
  return script.code;
}

/** A web server with one page and nothing else; every one is another origin. */
export async function openOrigin(script: string): Promise<{ readonly origin: string; close(): void }> {
  const server = createServer((request, response) => {
    if (request.url === "/clients.js") response.setHeader("content-type", "text/javascript").end(script);
    else response.setHeader("content-type", "text/html").end("<!doctype html><script src=/clients.js></script>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
