import { Code } from "@connectrpc/connect";
import type { Listener, Observe, Outcome } from "@portcullis/rpc";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { LogOutput } from "../process/log-output.ts";
import type { StoreUse } from "./observed-store.ts";

/** The metrics of one server, in the form that Prometheus reads. */
export interface Metrics {
  readonly observe: Observe;
  /** Counts an answer to a request that is no RPC: the issuer's, or a document. */
  onHttpAnswer(answer: HttpAnswer): void;
  /** Counts a read or write of the store, also one that failed. */
  onStoreUse(use: StoreUse): void;
  /** Counts a commit and the commands that shared it. */
  onCommit(commands: number): void;
  // What follows is read when the metrics are rendered.
  /** Shows what a listener holds and has carried. */
  watchListener(usage: Listener["usage"]): void;
  /** Shows whether the store can be read and written. */
  watchStore(isReady: () => boolean): void;
  /** Shows how long the store's write-ahead log is, and how often it could not be brought into the store. */
  watchStoreLog(read: { bytes(): number; failures(): number }): void;
  /** Shows how many lines of the log were lost. */
  watchLog(linesLost: () => LogOutput["lost"]): void;
  /** The text, at most one second old. All who ask within that second share it: to render it takes longer than thousands of calls. */
  render(): Promise<RenderedMetrics>;
}

export interface RenderedMetrics {
  readonly contentType: string;
  readonly text: string;
}

/** An answer to a request that is no RPC. Each member but the time has few values, so each can be a label. */
export interface HttpAnswer {
  readonly route: string;
  readonly method: string;
  /** The HTTP status; `none` when the client left before there was one. */
  readonly status: string;
  readonly ms: number;
}

/** In seconds: from the fastest answers to the longest that callers wait. */
const callBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const storeBuckets = [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5];

const renderEveryMs = 1_000;

/**
 * Creates the metrics of one server, with Node's own. Several servers of one process count separately. `now` returns milliseconds and
 * defaults to a monotonic clock.
 */
export function createMetrics(options: { readonly version: string; now?(): number }): Metrics {
  const { now = () => performance.now() } = options;
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: "portcullis_build_info",
    help: "1, with the version as a label.",
    labelNames: ["version"],
    registers,
  }).set({ version: options.version }, 1);
  const duration = new Histogram({
    name: "portcullis_rpc_duration_seconds",
    help: "From a request's headers to its complete answer; a stream's is its length.",
    labelNames: ["protocol", "service", "method", "code"],
    buckets: callBuckets,
    registers,
  });
  const addGauge = ({ name, help, read }: { name: string; help: string; read(): number }) => {
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
  };
  /** Adds a counter whose parts are read. */
  const addCounter = (options: {
    name: string;
    help: string;
    label: string;
    read(): Readonly<Record<string, number>>;
  }) => {
    const { name, help, label, read } = options;
    const most: Record<string, number> = {};
    const counter: Counter = new Counter({
      name,
      help,
      labelNames: [label],
      registers,
      collect() {
        counter.reset();
        for (const [part, value] of Object.entries(read())) {
          // Bytes that were about to be sent and never were count once; a counter that falls looks like a restart.
          most[part] = Math.max(most[part] ?? 0, value);
          counter.inc({ [label]: part }, most[part]);
        }
      },
    });
  };
  const storeDuration = new Histogram({
    name: "portcullis_store_duration_seconds",
    help: "How long the store took to read, or to write durably, waiting included.",
    labelNames: ["operation"],
    buckets: storeBuckets,
    registers,
  });
  const commit = new Histogram({
    name: "portcullis_store_commit_commands",
    help: "Commands that shared one commit.",
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    registers,
  });
  const httpDuration = new Histogram({
    name: "portcullis_http_duration_seconds",
    help: "From the headers of a request that is for no RPC to its complete answer: the issuer's, and documents.",
    labelNames: ["route", "method", "status"],
    buckets: callBuckets,
    registers,
  });
  let rendered: { readonly at: number; readonly made: Promise<RenderedMetrics> } | undefined;
  let served = 0;
  addGauge({ name: "portcullis_rpc_in_flight", help: "Requests that are being served.", read: () => served });

  return {
    observe({ protocol, method }) {
      const started = performance.now();
      served += 1;
      return (outcome) => {
        served -= 1;
        const seconds = (performance.now() - started) / 1000;
        // Only names that the server knows become labels: clients can invent any number of others.
        const [service, name] = method === undefined ? ["", "unknown"] : [method.parent.typeName, method.name];
        duration.observe({ protocol, service, method: name, code: nameOf(outcome) }, seconds);
      };
    },
    onHttpAnswer: ({ ms, ...labels }) => httpDuration.observe({ ...labels }, ms / 1000),
    onStoreUse: ({ operation, ms }) => storeDuration.observe({ operation }, ms / 1000),
    onCommit: (commands) => commit.observe(commands),
    watchListener(usage) {
      addGauge({
        name: "portcullis_connections_open",
        help: "Open TCP connections.",
        read: () => usage().connections,
      });
      addGauge({
        name: "portcullis_http2_streams_open",
        help: "Open streams of HTTP/2.",
        read: () => usage().streams,
      });
      addCounter({
        name: "portcullis_network_bytes_total",
        help: "Bytes over TCP, those of TLS and HTTP included.",
        label: "direction",
        read() {
          const { bytesReceived, bytesSent } = usage();
          return { received: bytesReceived, sent: bytesSent };
        },
      });
      addCounter({
        name: "portcullis_connections_cut_total",
        help: "Connections, and single streams of HTTP/2, that the server ended because of a limit or could not read.",
        label: "reason",
        read: () => ({ ...usage().cuts }),
      });
    },
    watchStore: (isReady) =>
      addGauge({
        name: "portcullis_store_ready",
        help: "1 while the store can be read and written, 0 while it cannot.",
        read: () => (isReady() ? 1 : 0),
      }),
    watchStoreLog({ bytes, failures }) {
      addGauge({
        name: "portcullis_store_log_bytes",
        help: "The size of the write-ahead log of a SQLite store.",
        read: bytes,
      });
      const counter: Counter = new Counter({
        name: "portcullis_store_checkpoint_failures_total",
        help: "Checkpoints that failed: the write-ahead log grows.",
        registers,
        collect() {
          counter.reset();
          counter.inc(failures());
        },
      });
    },
    watchLog: (linesLost) =>
      addCounter({
        name: "portcullis_log_lines_lost_total",
        help: "Lines of the log that were lost: there was no room for more, or they could not be written.",
        label: "reason",
        read: linesLost,
      }),
    render() {
      if (rendered === undefined || now() - rendered.at >= renderEveryMs) {
        const made = registry.metrics().then((text) => ({ contentType: registry.contentType, text }));
        rendered = { at: now(), made };
        // The next caller tries again.
        made.catch(() => {
          rendered = undefined;
        });
      }
      return rendered.made;
    },
  };
}

/** A code as gRPC spells it: upper case, and CANCELLED with two Ls. */
export const nameOf = (outcome: Outcome): string => {
  if (outcome === 0) return "OK";
  if (outcome === Code.Canceled) return "CANCELLED";
  return (Code[outcome] ?? "Unknown").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
};
