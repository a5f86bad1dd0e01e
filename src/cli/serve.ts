import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { adminTokenPath, provideAdminToken } from "../auth/admin-token.ts";
import { digestToken } from "../auth/token.ts";
import { createDirectory } from "../commands/directory.ts";
import { createIdSource } from "../commands/ids.ts";
import { type Config, ConfigError, type RawConfig, readConfig } from "../config.ts";
import type { Listener } from "../rpc/listener/listener.ts";
import { openStore } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { storeOptions, withOptions } from "./shared.ts";

/** Calls in flight have this long to end; with what follows, the process is gone within 10 s of the signal. */
const graceMs = 8_000;
const exitAfterMs = 9_500;

export function serveCommand(): Command {
  const listen = new Option("--listen <host:port>", "address to serve on; port 0 picks a free one")
    .default("127.0.0.1:8080")
    .env("PORTCULLIS_LISTEN");
  return withOptions(new Command("serve").description("run the server"), [listen, ...storeOptions()])
    .addOption(new Option("--tls-cert <file>", "certificate chain (PEM): serve TLS").env("PORTCULLIS_TLS_CERT"))
    .addOption(new Option("--tls-key <file>", "private key of the certificate (PEM)").env("PORTCULLIS_TLS_KEY"))
    .addOption(
      new Option("--cors-origin <origin>", "origin whose pages may call; repeat it, or separate several by commas")
        .env("PORTCULLIS_CORS_ORIGIN")
        .argParser(collect(/,/)),
    )
    .addOption(
      new Option(
        "--issuer [url]",
        "be an OpenID issuer for users of this instance, at an origin (default: where the server listens)",
      ).env("PORTCULLIS_ISSUER"),
    )
    .addOption(
      new Option(
        "--oidc-issuer <url[,name=value…]>",
        "accept access tokens of an OpenID issuer; repeat it for several. Settings: audience (default: portcullis), " +
          "role-claim (default: ZITADEL's), instance-roles, client-id and client-secret-file (for introspection)",
      )
        .env("PORTCULLIS_OIDC_ISSUER")
        // In the environment, several are separated by spaces; a URL begins each.
        .argParser(collect(/\s+(?=https?:)/)),
    )
    .addOption(
      new Option(
        "--trusted-proxy <address>",
        "proxy, or range of them, whose Forwarded headers count; as --cors-origin",
      )
        .env("PORTCULLIS_TRUSTED_PROXY")
        .argParser(collect(/,/)),
    )
    .addOption(
      new Option("--stock-handlers", "serve unary calls by Connect's own handlers: slower, for comparison").env(
        "PORTCULLIS_STOCK_HANDLERS",
      ),
    )
    .option("--dev", "for development on this machine: the issuer is on, and pages of every origin may call")
    .action(async (raw: RawConfig) => serve(readConfig(raw, process.env)));
}

/** Adds the values of one more flag to those before it. */
const collect =
  (separator: RegExp) =>
  (text: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...text.split(separator).map((part) => part.trim()),
  ];

async function serve(config: Config): Promise<void> {
  const store = await openStore({ location: config.storeLocation, postgres: config.postgres });
  const tokenPlace = await setUp(store, config);
  const listener = await listen(store, config);
  closeOnSignal(listener, store);
  process.stdout.write(`portcullis serves on ${listener.url}; the admin token is ${tokenPlace}\n`);
  if (config.issuer) process.stdout.write(`the OpenID issuer is ${config.issuer.url ?? listener.url}\n`);
}

/**
 * On the first start, creates the instance and its admin; later, makes a token from the environment the admin's. Resolves to
 * where the admin's token is.
 */
async function setUp(store: Store, { dataDirectory, adminToken }: Config): Promise<string> {
  const directory = createDirectory({ store, newId: createIdSource(Date.now), actor: "setup" });
  if (adminToken === undefined) {
    const path = adminTokenPath(dataDirectory);
    if (!(await directory.isSetUp())) await directory.setUp(digestToken(readToken(dataDirectory)));
    // At a later start the file may be gone, or the token replaced since.
    const isInFile = await directory.holdsAdminToken(digestToken(readFileOrNothing(path)));
    return `${isInFile ? "in" : "not in"} ${path}`;
  }
  const digest = digestToken(adminToken);
  if (!(await directory.setUp(digest))) await directory.replaceAdminToken(digest);
  return "the one given";
}

function readFileOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function readToken(dataDirectory: string): string {
  try {
    return provideAdminToken(dataDirectory);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
    throw new ConfigError(`the admin token cannot be kept in ${adminTokenPath(dataDirectory)} (${reason})`, { cause });
  }
}

async function listen(store: Store, config: Config): Promise<Listener> {
  const { listen: address, tls, corsOrigins, issuer, oidcIssuers, trustedProxies, stockHandlers } = config;
  try {
    // Only here, so that the other commands start without the server: in less than half the time.
    const [{ openServer }, { reportFailure }] = await Promise.all([import("../server.ts"), import("../log.ts")]);
    return await openServer({
      store,
      listen: address,
      ...(tls && { tls }),
      corsOrigins,
      ...(issuer && { issuer }),
      oidcIssuers,
      trustedProxies,
      stockHandlers,
      clock: Date.now,
      report: reportFailure,
    });
  } catch (cause) {
    await store.close();
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === undefined) throw cause;
    const at = `${address.host}:${address.port}`;
    const reason =
      listenFailures[code] ?? (code.startsWith("ERR_OSSL") ? "the TLS certificate or key is not valid" : code);
    throw new ConfigError(`cannot listen on ${at}: ${reason}`, { cause });
  }
}

const listenFailures: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; name another with --listen",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "this user may not use that port",
  ENOTFOUND: "the host name is unknown",
};

/** SIGTERM and SIGINT let calls in flight end and refuse new ones, then exit with 0; a second one exits at once. */
function closeOnSignal(listener: Listener, store: Store): void {
  let isClosing = false;
  const close = async () => {
    await listener.close({ graceMs });
    await store.close();
    process.exit(0);
  };
  const onSignal = () => {
    if (isClosing) process.exit(1);
    isClosing = true;
    setTimeout(() => process.exit(1), exitAfterMs).unref();
    close().catch((reason: unknown) => {
      process.stderr.write(`portcullis: could not close cleanly: ${String(reason)}\n`);
      process.exit(1);
    });
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
