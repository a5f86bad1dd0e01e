// The whole stack on the store of a directory, with Connect's own handlers for unary calls too.
import { createLog } from "../../src/process/log.ts";
import { version } from "../../src/process/version.ts";
import { openServer } from "../../src/server.ts";
import { openStore } from "../../src/store/open.ts";
import { reportTo } from "../../src/telemetry/report-failure.ts";
import { startTelemetry } from "../../src/telemetry/telemetry.ts";
import { storeLocation } from "../store-fixture.ts";
import { announce } from "./answer.ts";

const log = await createLog({ level: "info", format: "json" });
const telemetry = await startTelemetry({ log, version, trustedProxies: [], environment: {} });
const { port } = await openServer({
  store: await openStore({ location: storeLocation(process.argv[2] ?? "") }),
  listen: { host: "127.0.0.1", port: 0 },
  corsOrigins: [],
  stockHandlers: true,
  telemetry,
  clock: Date.now,
  report: reportTo(log),
});
announce(port);
