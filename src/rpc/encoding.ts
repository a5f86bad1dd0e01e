import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants, gunzip, gzip, inflate } from "node:zlib";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";

/** What gRPC, gRPC-Web and Connect negotiate, in the order of preference; and the names, as they are told to callers. */
export const compressions = [compressionGzip, compressionBrotli];
export const knownEncodings: readonly string[] = ["identity", ...compressions.map(({ name }) => name)];

type Transform = (bytes: Uint8Array) => Promise<Buffer>;

const brotli = promisify(brotliCompress);
// Node's default, the highest, is for files that are compressed once: it takes seconds for a few megabytes.
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

const compressors: Readonly<Record<string, Transform>> = {
  br: (bytes) => brotli(bytes, brotliOptions),
  gzip: promisify(gzip),
};

/** In the order of preference. */
export const responseEncodings: readonly string[] = Object.keys(compressors);

/** Fewer bytes fit into one packet anyway, and cost more to compress than to send. */
const worthCompressingBytes = 1024;

/** Compresses an answer; undefined where it is not worth it, or `encoding` is `identity`. */
export function compress(bytes: Uint8Array, encoding: string): Promise<Buffer> | undefined {
  return bytes.length < worthCompressingBytes ? undefined : compressors[encoding]?.(bytes);
}

type Bounded = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

const decompressors: ReadonlyMap<string, Bounded> = new Map<string, Bounded>([
  ["gzip", promisify(gunzip)],
  ["br", promisify(brotliDecompress)],
  ["deflate", promisify(inflate)],
]);

export const requestEncodings: readonly string[] = [...decompressors.keys()];

/** What became of a compressed body. */
export type Decompressed =
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "too_large" }
  | { readonly kind: "damaged" }
  | { readonly kind: "unknown_encoding" };

/** Decompresses a body, and stops as soon as it exceeds `maxBytes`. */
export async function decompress(bytes: Buffer, encoding: string, maxBytes: number): Promise<Decompressed> {
  if (encoding === "identity") return { kind: "bytes", bytes };
  const transform = decompressors.get(encoding);
  if (transform === undefined) return { kind: "unknown_encoding" };
  try {
    return { kind: "bytes", bytes: await transform(bytes, { maxOutputLength: maxBytes }) };
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    return { kind: isTooLarge ? "too_large" : "damaged" };
  }
}
