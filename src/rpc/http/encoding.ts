import { promisify } from "node:util";
import {
  brotliCompress,
  brotliDecompress,
  brotliDecompressSync,
  constants,
  deflate,
  gunzip,
  gunzipSync,
  gzip,
  inflate,
  inflateSync,
} from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";

const toDeflate = promisify(deflate);

/** What gRPC calls deflate, and HTTP too: the format of zlib (RFC 1950), which has a header and a checksum. */
const compressionDeflate: Compression = {
  name: "deflate",
  compress: async (bytes) => new Uint8Array(await toDeflate(bytes)),
  async decompress(bytes, maxBytes) {
    if (bytes.length === 0) return new Uint8Array();
    const result = await decompress(Buffer.from(bytes), "deflate", maxBytes);
    if (result.kind === "bytes") return new Uint8Array(result.bytes);
    // In the words that Connect has for gzip, so that all encodings fail alike.
    if (result.kind === "damaged") throw new ConnectError("decompression failed", Code.InvalidArgument);
    const text = `message is larger than configured readMaxBytes ${maxBytes} after decompression`;
    throw new ConnectError(text, Code.ResourceExhausted);
  },
};

/** What gRPC, gRPC-Web and Connect negotiate, in the order of preference; and the names, as they are told to callers. */
export const compressions: Compression[] = [compressionGzip, compressionBrotli, compressionDeflate];
export const knownEncodings: readonly string[] = ["identity", ...compressions.map(({ name }) => name)];

type Transform = (bytes: Uint8Array) => Promise<Buffer>;

const brotli = promisify(brotliCompress);
// Node's default, the highest, is for files that are compressed once: it takes seconds for a few megabytes.
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

const compressors: ReadonlyMap<string, Transform> = new Map<string, Transform>([
  ["br", (bytes) => brotli(bytes, brotliOptions)],
  ["gzip", promisify(gzip)],
  ["deflate", toDeflate],
]);

/** What REST answers with, in the order of preference. Some clients of HTTP take deflate for what lacks zlib's header. */
export const responseEncodings: readonly string[] = ["br", "gzip"];

/** Fewer bytes fit into one packet anyway, and cost more to compress than to send. */
const worthCompressingBytes = 1024;

/** Compresses an answer; undefined where it is not worth it, or `encoding` is `identity`. */
export function compress(bytes: Uint8Array, encoding: string): Promise<Buffer> | undefined {
  return bytes.length < worthCompressingBytes ? undefined : compressors.get(encoding)?.(bytes);
}

type Bounded = (bytes: Buffer, options: { readonly maxOutputLength: number }) => Promise<Buffer>;

const decompressors: ReadonlyMap<string, Bounded> = new Map<string, Bounded>([
  ["gzip", promisify(gunzip)],
  ["br", promisify(brotliDecompress)],
  ["deflate", promisify(inflate)],
]);

export const requestEncodings: readonly string[] = [...decompressors.keys()];

/** The same at once, for a look at a message on its way to others. Throws what Node's zlib throws. */
export const syncDecompressors: ReadonlyMap<
  string,
  (bytes: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer
> = new Map([
  ["gzip", gunzipSync],
  ["br", brotliDecompressSync],
  ["deflate", inflateSync],
]);

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
