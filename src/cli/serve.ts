import { readFileSync } from "node:fs";
import type { Listener } from "@portcullis/rpc";
import { Command } from "commander";
import { createDirectory } from "../application/directory.ts";
import { createIdSource } from "../application/ids.ts";
import { adminTokenPath, provideAdminToken } from "../auth/admin-token.ts";
import { digestToken } from "../auth/token.ts";
import { type Config, ConfigError, isLoopback, type RawConfig, readConfig } from "../config.ts";
import { DirectoryError } from "../domain/directory/decide.ts";
import type { Log } from "../process/log.ts";
import { createReadiness } from "../process/readiness.ts";
import { version } from "../process/version.ts";
import { watchTls } from "../process/watch-tls.ts";
import type { ServerOptions } from "../server.ts";
import { openStore } from "../store/open.ts";
import type { Store } from "../store/store.ts";
import { misspeltVariables } from "./environment.ts";
import { serverSettings } from "./settings.ts";
import { type SettingInUse, settingsInUse } from "./settings-in-use.ts";
import { withSettings } from "./shared.ts";
import { welcome } from "./welcome.ts";

/** Calls in flight have this long to end; with what follows, the process is gone within 10 s of the signal. */
const graceMs = 8_000;
const exitAfterMs = 9_500;
/** Of the last lines of the log, for who reads them slowly. */
const logPatienceMs = 500;

export function serveCommand(): Command {
  return withSettings(new Command("serve").description("run the server"), serverSettings).action(
    async (raw: RawConfig, command: Command) => {
      const config = readConfig(raw, process.env);
      await serve(config, settingsInUse({ command, raw, config }));
    },
  );
}

async function serve(config: Config, settings: readonly SettingInUse[]): Promise<void> {
  const stopObeying = obeySignals();
  // Only here, so that the other commands start without the server: in less than half the time.
  const [
    { openServer },
    { createLog },
    { standardErrorOutput },
    { createLimitedLog },
    { reportTo },
    { startTelemetry },
    { observeStore },
    { probeStore },
  ] = await Promise.all([
    import("../server.ts"),
    import("../process/log.ts"),
    import("../process/log-output.ts"),
    import("../process/limited-log.ts"),
    import("../telemetry/report-failure.ts"),
    import("../telemetry/telemetry.ts"),
    import("../telemetry/observed-store.ts"),
    import("../telemetry/store-probe.ts"),
  ]);
  const logOutput = standardErrorOutput();
  const log = await createLog(config.log, logOutput);
  for (const sentence of misspeltVariables(process.env)) log.warn(sentence);
  const telemetry = await startTelemetry({
    log,
    version,
    trustedProxies: config.trustedProxies,
    environment: process.env,
  });
  const { metrics } = telemetry;
  metrics.watchLog(() => logOutput.lost);
  const opened = await openStore({
    location: config.storeLocation,
    postgres: config.postgres,
    onCommit: metrics.onCommit,
  });
  const readiness = createReadiness();
  const probe = probeStore(opened, {
    readiness,
    onChange(reason) {
      if (reason === undefined) log.info("the store works again: ready");
      else log.warn({ err: reason }, "the store cannot be used: not ready");
    },
  });
  const store = observeStore(opened, (use) => {
    metrics.onStoreUse(use);
    probe.onStoreUse(use);
  });
  metrics.watchStore(() => !readiness.reasons.includes("store"));
  let listener: Listener;
  let tokenPlace: string;
  try {
    tokenPlace = await setUp(store, config, log);
    listener = await listen(config, (options) =>
      openServer({
        ...options,
        store,
        readiness,
        telemetry,
        clock: Date.now,
        report: reportTo(log),
        limitedLog: createLimitedLog(log),
      }),
    );
  } catch (error) {
    probe.stop();
    await store.close();
    throw error;
  }
  warnOfPlaintext(config, log);
  const stopWatchingTls = keepTlsFresh(config, { listener, log });
  stopObeying();
  const about = aboutServer(listener.url, settings);
  log.info(about, "serving");
  closeOnSignal(async (signal) => {
    log.debug({ drainDelayMs: config.drainDelayMs }, "stopping: calls in flight may end");
    readiness.set("draining", true);
    const onUnfinished = (connections: number) =>
      log.warn({ connections, graceMs }, "connections were still in use when their time was over, and are cut");
    await listener.close({ graceMs, lameDuckMs: config.drainDelayMs, onUnfinished });
    stopWatchingTls();
    probe.stop();
    await store.close();
    await telemetry.stop();
    log.info({ ...about, signal }, "stopped");
    await logOutput.flush(logPatienceMs);
  }, config);
  greet(config, { url: listener.url, tokenPlace });
}

/** What the lines of a start and a stop have: which program it is, where, and what was asked of it. */
function aboutServer(url: string, settings: readonly SettingInUse[]) {
  const given = settings.filter(({ setting, source }) => source !== "default" && setting !== "--store");
  return {
    version,
    url,
    store: settings.find(({ setting }) => setting === "--store")?.value,
    settings: Object.fromEntries(given.map(({ setting, value }) => [setting, value])),
  };
}

/** One line says where, for people and programs; at a terminal, more follows. */
function greet(config: Config, { url, tokenPlace }: { readonly url: string; readonly tokenPlace: string }): void {
  const { stdout } = process;
  stdout.write(`portcullis serves on ${url}; the admin token is ${tokenPlace}\n`);
  if (config.issuer) stdout.write(`the OpenID issuer is ${config.issuer.url ?? url}\n`);
  if (stdout.isTTY) stdout.write(welcome({ url, tokenPlace, ...config }));
}

/** Takes a certificate that is renewed while the server runs. Returns a function that ends it. */
function keepTlsFresh(
  { tls }: Config,
  { listener, log }: { readonly listener: Listener; readonly log: Log },
): () => void {
  if (tls === undefined) return () => {};
  const { close } = watchTls({
    files: tls.files,
    current: tls,
    replace: (next) => listener.replaceTls(next),
    onReplaced: () => log.info("the certificate has changed: new connections get the new one"),
    onError: (err) =>
      log.error({ err, files: tls.files }, "the certificate has changed and cannot be used: the old one stays"),
  });
  return close;
}

/** Without TLS, tokens are there to read for whoever sees the traffic, unless a proxy before us has it. */
function warnOfPlaintext({ tls, listen: { host }, trustedProxies }: Config, log: Log): void {
  if (tls !== undefined || isLoopback(host) || trustedProxies.length > 0) return;
  log.warn(
    `tokens cross the network in plaintext: give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy with TLS (and name it with --trusted-proxy)`,
  );
}

/**
 * On the first start, creates the instance and its admin; later, makes a token from the environment the admin's. Resolves to
 * where the admin's token is. An admin who was removed stays so, and is no reason not to start.
 */
async function setUp(store: Store, { dataDirectory, adminToken }: Config, log: Log): Promise<string> {
  const directory = createDirectory({ store, newId: createIdSource(Date.now), actor: "setup" });
  if (adminToken === undefined) {
    const path = adminTokenPath(dataDirectory);
    if (!(await directory.isSetUp())) await directory.setUp(digestToken(readToken(dataDirectory)));
    // At a later start the file may be gone, or the token replaced since.
    const isInFile = await directory.holdsAdminToken(digestToken(readFileOrNothing(path)));
    return `${isInFile ? "in" : "not in"} ${path}`;
  }
  const digest = digestToken(adminToken);
  try {
    if (!(await directory.setUp(digest))) await directory.replaceAdminToken(digest);
    return "the one given";
  } catch (error) {
    if (!(error instanceof DirectoryError && error.code === "user_missing")) throw error;
    log.warn(
      "the admin token that was given counts for nothing, since the user admin was removed: unset it, or run 'user add admin --role IAM_OWNER' and start again",
    );
    return "of no use: the user admin was removed";
  }
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

/** Opens the server where the configuration says, and tells in a sentence why it cannot. */
async function listen(config: Config, open: (options: ListeningOptions) => Promise<Listener>): Promise<Listener> {
  const { listen: address, tls, debugListen, corsOrigins, corsHeaders, issuer, oidcIssuers } = config;
  const { trustedProxies, stockHandlers, callsPerCaller } = config;
  try {
    return await open({
      listen: address,
      ...(tls && { tls }),
      ...(debugListen && { debugListen }),
      corsOrigins,
      corsHeaders,
      ...(issuer && { issuer }),
      oidcIssuers,
      trustedProxies,
      stockHandlers,
      ...(callsPerCaller !== undefined && { callsPerCaller }),
    });
  } catch (cause) {
    const { code, isOfDebug } = cause as NodeJS.ErrnoException & { readonly isOfDebug?: boolean };
    if (code === undefined) throw cause;
    const { host, port } = isOfDebug && debugListen ? debugListen : address;
    const reason =
      listenFailures[code] ?? (code.startsWith("ERR_OSSL") ? "OpenSSL does not take the TLS certificate or key" : code);
    throw new ConfigError(`cannot listen on ${host}:${port}: ${reason}`, { cause });
  }
}

type ListeningOptions = Omit<ServerOptions, "store" | "clock" | "report">;

const listenFailures: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use; name another one",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "this user may not use that port",
  ENOTFOUND: "the host name is unknown",
};

/**
 * Ends the process by SIGTERM and SIGINT, until the server is there to be closed: as the first process of a container it would
 * not be by itself. Returns a function that ends this.
 */
function obeySignals(): () => void {
  const signals = ["SIGTERM", "SIGINT"] as const;
  const end = (signal: NodeJS.Signals) => {
    stop();
    process.kill(process.pid, signal);
    // Only the first process of a container is still there.
    setImmediate(() => process.exit(1));
  };
  const stop = () => {
    for (const signal of signals) process.off(signal, end);
  };
  for (const signal of signals) process.on(signal, end);
  return stop;
}

/** SIGTERM and SIGINT let calls in flight end and refuse new ones, then exit with 0; a second one exits at once. */
function closeOnSignal(close: (signal: NodeJS.Signals) => Promise<void>, { drainDelayMs }: Config): void {
  let isClosing = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (isClosing) process.exit(1);
    isClosing = true;
    setTimeout(() => process.exit(1), drainDelayMs + exitAfterMs).unref();
    close(signal).then(
      () => process.exit(0),
      (reason: unknown) => {
        process.stderr.write(`portcullis: could not close cleanly: ${String(reason)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
