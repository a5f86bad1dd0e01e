import { readFile } from "node:fs/promises";
import type { TlsOptions } from "@portcullis/rpc";
import type { TlsFiles } from "../config.ts";

export interface WatchTlsOptions {
  readonly files: TlsFiles;
  /** What the server began with: the contents of the same files. */
  readonly current: TlsOptions;
  /** Takes new contents; throws, and keeps the old ones, where they do not go together: `Listener.replaceTls`. */
  replace(tls: TlsOptions): void;
  /** Told each time that new contents were taken. */
  onReplaced(): void;
  /** Told, once for each reason, why new contents were not taken; the old ones stay, and the files are looked at again. */
  onError(error: Error): void;
  /** Between two looks. Default 10 000: a certificate is renewed days before it ends. */
  readonly intervalMs?: number;
}

/**
 * Looks at the files of a certificate now and then, and replaces it when they have changed.
 *
 * It reads them and compares what they say. Notices of the system (`fs.watch`) miss what certbot and Kubernetes do, which is to swap
 * a symbolic link of the file or of a folder above, and do not come from network file systems; times and inodes tell of neither a
 * link swapped far above nor a copy that keeps its time. A few small files every ten seconds cost nothing.
 *
 * Files are not written together: certificate and key that do not match may be half of a change, and are reported when they are
 * still so at the next look.
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

  /** One at a time: a slow disk must not bring old contents after new ones. */
  const look = () => {
    looking ??= lookOnce().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), intervalMs).unref();
  return { look, close: () => clearInterval(timer) };
}

/** In one order, whoever made it. */
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
