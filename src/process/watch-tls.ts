import { readFile } from "node:fs/promises";
import type { TlsOptions } from "@portcullis/rpc";

/** The paths of PEM files. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

export interface WatchTlsOptions {
  readonly files: TlsFiles;
  /** The contents of these files when the server started. */
  readonly current: TlsOptions;
  /** Installs new contents. Throws, and keeps the old ones, when they do not match each other: `Listener.replaceTls`. */
  replace(tls: TlsOptions): void;
  /** Called after new contents were installed. */
  onReplaced(): void;
  /** Called once for each reason why new contents were refused. The old ones stay, and the next look tries again. */
  onError(error: Error): void;
  /** Milliseconds between two looks. Default 10 000: a certificate is renewed days before it expires. */
  readonly intervalMs?: number;
}

/**
 * Reads the files of a certificate at an interval, and replaces it when their contents have changed.
 *
 * `fs.watch` would miss the way of certbot and Kubernetes, which swap a symbolic link to the file or to a folder above it, and does not
 * work on network file systems. Times and inodes miss such a link too, and a copy that keeps its time. Reading a few small files every
 * ten seconds costs nothing.
 *
 * Files are not written together: a certificate and key that do not match may be half of a change. They are reported when the next
 * look still finds them so.
 */
export function watchTls(options: WatchTlsOptions): { look(): Promise<void>; close(): void } {
  const { files, replace, onReplaced, onError, intervalMs = 10_000 } = options;
  let current = JSON.stringify(pick(options.current));
  let refused: string | undefined;
  let reported: string | undefined;
  let looking: Promise<void> | undefined;

  async function lookOnce(): Promise<void> {
    let found: string | undefined;
    try {
      const tls = await readTls(files);
      found = JSON.stringify(pick(tls));
      if (found !== current) {
        replace(tls);
        current = found;
        onReplaced();
      }
      refused = undefined;
      reported = undefined;
    } catch (reason) {
      const error = reason instanceof Error ? reason : new Error(String(reason));
      const what = `${error.message} ${found}`;
      if (refused === what && reported !== what) {
        reported = what;
        onError(error);
      }
      refused = what;
    }
  }

  /** One look at a time: on a slow disk, an older look must not end after a newer one. */
  const look = () => {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), intervalMs).unref();
  return { look, close: () => clearInterval(timer) };
}

/** The contents in a fixed order, so that they can be compared as text. */
const pick = ({ cert, key, clientCa }: WatchTlsOptions["current"]) => [cert, key, clientCa];

async function readTls({ cert, key, clientCa }: TlsFiles) {
  const read = (path: string) => readFile(path, "utf8");
  const [certText, keyText, clientCaText] = await Promise.all([
    read(cert),
    read(key),
    clientCa === undefined ? undefined : read(clientCa),
  ]);
  return { cert: certText, key: keyText, ...(clientCaText !== undefined && { clientCa: clientCaText }) };
}
