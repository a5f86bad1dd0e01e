import type { Listener } from "@portcullis/rpc";
import { Command } from "commander";
import { adminTokenVariables, type Config, ConfigError, type RawConfig, readConfig } from "../config.ts";
import { isLoopback } from "../domain/loopback.ts";
import type { Log } from "../process/log.ts";
import { createReadiness } from "../process/readiness.ts";
import { version } from "../process/version.ts";
import { watchTls } from "../process/watch-tls.ts";
import type { ServerOptions } from "../server.ts";
import { logMeterOf, migrateStore, openStore } from "../store/open.ts";
import { prepareStore } from "./first-start.ts";
import { misspeltVariables } from "./misspelt-variables.ts";
import { serverSettings, withSettings } from "./settings.ts";
import { type SettingInUse, settingsInUse } from "./settings-in-use.ts";
import { closeOnSignals, exitOnSignals } from "./signals.ts";
import { unfinished } from "./store-command.ts";
import { welcome } from "./welcome.ts";

/** Time for calls in flight to end. */
const graceMs = 8_000;
/** Time for a slow reader to take the last lines of the log. */
const logFlushMs = 500;

const { direct, file } = adminTokenVariables;
const adminTokenHelp = `
Token of the user admin (no flag, because every user of the machine can read flags):
  By default, a random one in admin.token of the data directory. To choose it, set
  ${direct}, or ${file} to a file that contains it.`;

export function serveCommand(): Command {
  return withSettings(new Command("serve").description("run the server"), serverSettings)
    .addHelpText("after", adminTokenHelp)
    .action(async (raw: RawConfig, command: Command) => {
      const config = readConfig(raw, process.env);
      await serve(config, settingsInUse({ command, raw, config }));
    });
}

async function serve(config: Config, settings: readonly SettingInUse[]): Promise<void> {
  const stopExiting = exitOnSignals();
  // Imported here, so that the other commands start in less than half the time.
  const [
    { openServer },
    { createLog },
    { standardErrorOutput },
    { createLimitedLog },
    { reportTo },
    { startTelemetry },
    { observeStore },
    { probeStore },
    { watchStoreLog },
  ] = await Promise.all([
    import("../server.ts"),
    import("../process/log.ts"),
    import("../process/log-output.ts"),
    import("../process/limited-log.ts"),
    import("../telemetry/report-failure.ts"),
    import("../telemetry/telemetry.ts"),
    import("../telemetry/observed-store.ts"),
    import("../telemetry/store-probe.ts"),
    import("../telemetry/store-log.ts"),
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
  const logMeter = logMeterOf(config.storeLocation);
  const storeLog = logMeter && watchStoreLog({ bytes: logMeter, metrics, log });
  const opened = await openStore({
    location: config.storeLocation,
    postgres: config.postgres,
    onCommit: metrics.onCommit,
    onCheckpoint: storeLog?.onCheckpoint,
  });
  const readiness = createReadiness();
  const probe = probeStore(opened, {
    readiness,
    findProblem: storeLog?.findProblem,
    onChange(reason) {
      if (reason === undefined) log.info("the store works again: the server is ready");
      else log.warn({ err: reason }, "the store cannot be used: the server is not ready");
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
    tokenPlace = await prepareStore(store, config, log);
    const { isFinished } = await migrateStore({ location: config.storeLocation, postgres: config.postgres });
    if (!isFinished) log.info(unfinished);
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
  warnOfSharedDebug(config, log);
  const stopWatchingTls = keepTlsFresh(config, { listener, log });
  stopExiting();
  const about = aboutServer(listener.url, settings);
  log.info(about, "serving");
  closeOnSignals(async (signal) => {
    log.debug({ drainDelayMs: config.drainDelayMs }, "stopping: waiting for calls in flight");
    readiness.set("draining", true);
    const onUnfinished = (connections: number) =>
      log.warn({ connections, graceMs }, "cutting connections that are still in use at the end of the grace period");
    await listener.close({ graceMs, lameDuckMs: config.drainDelayMs, onUnfinished });
    stopWatchingTls();
    probe.stop();
    await store.close();
    await telemetry.stop();
    log.info({ ...about, signal }, "stopped");
    await logOutput.flush(logFlushMs);
  }, config);
  greet(config, { url: listener.url, tokenPlace });
}

/** The fields that the log lines of start and stop share. */
function aboutServer(url: string, settings: readonly SettingInUse[]) {
  const given = settings.filter(({ setting, source }) => source !== "default" && setting !== "--store");
  return {
    version,
    url,
    store: settings.find(({ setting }) => setting === "--store")?.value,
    settings: Object.fromEntries(given.map(({ setting, value }) => [setting, value])),
  };
}

/** Prints one line that programs can parse, and more at a terminal. */
function greet(config: Config, { url, tokenPlace }: { readonly url: string; readonly tokenPlace: string }): void {
  const { stdout } = process;
  stdout.write(`portcullis serves on ${url}; the admin token is ${tokenPlace}\n`);
  if (config.issuer) stdout.write(`the OpenID issuer is ${config.issuer.url ?? url}\n`);
  if (stdout.isTTY) stdout.write(welcome({ url, tokenPlace, ...config }));
}

/** Loads the certificate again when its files change. Returns a function that stops this. */
function keepTlsFresh(
  { tls }: Config,
  { listener, log }: { readonly listener: Listener; readonly log: Log },
): () => void {
  if (tls === undefined) return () => {};
  const { close } = watchTls({
    files: tls.files,
    current: tls,
    replace: (next) => listener.replaceTls(next),
    onReplaced: () => log.info("the certificate has changed: new connections use it"),
    onError: (err) => log.error({ err, files: tls.files }, "the changed certificate cannot be used: the old one stays"),
  });
  return close;
}

/** Anyone on the network can read the tokens, unless a proxy in front of the server terminates TLS. */
function warnOfPlaintext({ tls, listen: { host }, trustedProxies }: Config, log: Log): void {
  if (tls !== undefined || isLoopback(host) || trustedProxies.length > 0) return;
  log.warn(
    "tokens cross the network in plaintext: set --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy with TLS (and name it with --trusted-proxy)",
  );
}

/** Each scrape of the metrics would show another process, and readiness would say nothing of the others. */
function warnOfSharedDebug({ listen: { reusePort }, debugListen }: Config, log: Log): void {
  if (!reusePort || debugListen) return;
  log.warn("/debug answers for whichever process gets the connection: give each process a --debug-listen of its own");
}

/** Opens the server. Rejects with a ConfigError that explains why it cannot listen. */
async function listen(config: Config, open: (options: ListeningOptions) => Promise<Listener>): Promise<Listener> {
  const { listen: address, tls, debugListen, corsOrigins, corsHeaders, issuer, oidcIssuers } = config;
  const { trustedProxies, callsPerCaller, watchesPerCaller } = config;
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
      ...(callsPerCaller !== undefined && { callsPerCaller }),
      ...(watchesPerCaller !== undefined && { watchesPerCaller }),
    });
  } catch (cause) {
    const { code, isOfDebug } = cause as NodeJS.ErrnoException & { readonly isOfDebug?: boolean };
    if (code === undefined) throw cause;
    const [{ host, port }, flag] = isOfDebug && debugListen ? [debugListen, "--debug-listen"] : [address, "--listen"];
    const reason = whyNotListening(code, { flag, isShared: address.reusePort === true });
    throw new ConfigError(`cannot listen on ${host}:${port}: ${reason}`, { cause });
  }
}

type ListeningOptions = Omit<ServerOptions, "store" | "clock" | "report">;

function whyNotListening(
  code: string,
  { flag, isShared }: { readonly flag: string; readonly isShared: boolean },
): string {
  if (code.startsWith("ERR_OSSL")) return "OpenSSL rejects the TLS certificate or key";
  if (code === "ENOTSUP" && isShared)
    return "this system cannot share a port between processes: leave out --reuse-port";
  const failure = listenFailures[code];
  if (failure === undefined) return code;
  if (code !== "EADDRINUSE" || flag !== "--listen") return `${failure}; choose another address with ${flag}`;
  return isShared
    ? `${failure} by a process without --reuse-port or of another user; choose another address with ${flag}`
    : `${failure}; choose another address with ${flag}, or start all processes of this address with --reuse-port`;
}

const listenFailures: Readonly<Record<string, string>> = {
  EADDRINUSE: "the port is in use",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "this user may not use that port",
  ENOTFOUND: "the host name is unknown",
};
