import { promisify } from "node:util";
import { brotliCompress, brotliDecompress, constants, deflate, gunzip, gzip, inflate } from "node:zlib";
import { Code, ConnectError, type ConnectRouterOptions } from "@connectrpc/connect";

interface ContentCoding {
  readonly name: string;
  compress(bytes: Uint8Array): Promise<Buffer>;
  /** Rejects with what Node's zlib throws. */
  decompress(bytes: Uint8Array, options: { readonly maxOutputLength: number }): Promise<Buffer>;
  /** Among codings that a caller of REST accepts equally, the highest is used. 0: never for its answers. */
  readonly restPreference: number;
}

const brotli = promisify(brotliCompress);
// Node's default, the highest, is for files that are compressed once: it takes seconds for a few megabytes.
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

/** Every content coding, for all protocols, in the order in which callers see their names. */
const codings: readonly ContentCoding[] = [
  { name: "gzip", compress: promisify(gzip), decompress: promisify(gunzip), restPreference: 1 },
  {
    name: "br",
    compress: (bytes) => brotli(bytes, brotliOptions),
    decompress: promisify(brotliDecompress),
    restPreference: 2,
  },
  // The format of zlib (RFC 1950), with a header and a checksum. Some HTTP clients expect it without them, so REST never
  // answers in it.
  { name: "deflate", compress: promisify(deflate), decompress: promisify(inflate), restPreference: 0 },
];

const byName: ReadonlyMap<string, ContentCoding> = new Map(codings.map((coding) => [coding.name, coding]));

/** What requests may be compressed with. */
export const requestEncodings: readonly string[] = [...byName.keys()];

/** The same as the headers of gRPC and Connect list it. */
export const knownEncodings: readonly string[] = ["identity", ...requestEncodings];

/** What REST compresses answers with, the preferred first. */
export const responseEncodings: readonly string[] = codings
  .filter(({ restPreference }) => restPreference > 0)
  .sort((a, b) => b.restPreference - a.restPreference)
  .map(({ name }) => name);

/** The codings as Connect takes them, to negotiate and for its own handlers. */
export const compressions: NonNullable<ConnectRouterOptions["acceptCompression"]> = codings.map(
  ({ name, compress }) => ({
    name,
    compress: async (bytes) => new Uint8Array(await compress(bytes)),
    async decompress(bytes, maxBytes) {
      if (bytes.length === 0) return new Uint8Array();
      const result = await decompress(bytes, name, maxBytes);
      if (result.kind === "bytes") return new Uint8Array(result.bytes);
      // In the words of Connect's own compressions.
      if (result.kind === "damaged") throw new ConnectError("decompression failed", Code.InvalidArgument);
      const text = `message is larger than configured readMaxBytes ${maxBytes} after decompression`;
      throw new ConnectError(text, Code.ResourceExhausted);
    },
  }),
);

/** Fewer bytes fit into one packet anyway, and cost more to compress than to send. */
const worthCompressingBytes = 1024;

/** Compresses an answer; undefined where it is not worth it, or `encoding` is `identity`. */
export function compress(bytes: Uint8Array, encoding: string): Promise<Buffer> | undefined {
  return bytes.length < worthCompressingBytes ? undefined : byName.get(encoding)?.compress(bytes);
}

/** What became of a compressed body. */
export type Decompressed =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "too_large" }
  | { readonly kind: "damaged" }
  | { readonly kind: "unknown_encoding" };

/** Decompresses a body, and stops as soon as it exceeds `maxBytes`. */
export async function decompress(bytes: Uint8Array, encoding: string, maxBytes: number): Promise<Decompressed> {
  if (encoding === "identity") return { kind: "bytes", bytes };
  const coding = byName.get(encoding);
  if (coding === undefined) return { kind: "unknown_encoding" };
  try {
    return { kind: "bytes", bytes: await coding.decompress(bytes, { maxOutputLength: maxBytes }) };
  } catch (error) {
    const isTooLarge = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    return { kind: isTooLarge ? "too_large" : "damaged" };
  }
}
