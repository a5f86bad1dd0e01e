import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
} from "node:zlib";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import {
  compress,
  compressions,
  decompress,
  knownEncodings,
  requestEncodings,
  responseEncodings,
} from "../../../../src/rpc/http/content-coding.ts";

const text = (bytes: number) => Buffer.alloc(bytes, "ab");

describe("the encodings", () => {
  it("are these, in the order of preference", () => {
    expect([requestEncodings, responseEncodings]).toEqual([
      ["gzip", "br", "deflate"],
      ["br", "gzip"],
    ]);
    expect(knownEncodings).toEqual(["identity", "gzip", "br", "deflate"]);
  });
});

describe("each compression of Connect's handlers", () => {
  it.each(compressions.map((one) => [one.name, one] as const))(
    "%s is bounded, and says what is wrong",
    async (_, one) => {
      const compressed = await one.compress(text(1000));
      expect(Buffer.from(await one.decompress(compressed, 1000))).toEqual(text(1000));
      expect(await one.decompress(new Uint8Array(), 1000)).toEqual(new Uint8Array());
      await expect(one.decompress(compressed, 999)).rejects.toMatchObject({
        rawMessage: "message is larger than configured readMaxBytes 999 after decompression",
        code: Code.ResourceExhausted,
      });
      await expect(one.decompress(Buffer.alloc(20, 0xff), 1000)).rejects.toMatchObject({
        rawMessage: "decompression failed",
        code: Code.InvalidArgument,
      });
    },
  );
});

describe("compress", () => {
  it.each([
    ["gzip", gunzipSync],
    ["br", brotliDecompressSync],
    ["deflate", inflateSync],
  ])("makes an answer of 1 KiB smaller, by %s", async (encoding, restore) => {
    const compressed = await compress(text(1024), encoding);
    expect(compressed?.length).toBeLessThan(100);
    expect(restore(compressed ?? "")).toEqual(text(1024));
  });

  it("takes the middle of brotli: as small as its quality 4, where the highest takes seconds for a large answer", async () => {
    // Something like an answer: words that come again, in an order that does not.
    let seed = 1;
    const word = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return `"name${seed % 5_000}":${seed % 1_000}`;
    };
    const answer = Buffer.from(Array.from({ length: 20_000 }, word).join(","));
    const sizeAt = (quality: number): number =>
      brotliCompressSync(answer, { params: { [constants.BROTLI_PARAM_QUALITY]: quality } }).length;
    const compressed = await compress(answer, "br");
    expect(brotliDecompressSync(compressed ?? "")).toEqual(answer);
    expect(compressed).toHaveLength(sizeAt(4));
    expect(compressed?.length).not.toBe(sizeAt(constants.BROTLI_DEFAULT_QUALITY));
  });

  it.each([
    ["gzip", 1023],
    ["br", 0],
    ["identity", 5000],
    ["deflate", 1023],
    ["nope", 5000],
  ])("leaves an answer alone: %s of %i bytes", async (encoding, bytes) => {
    expect(await compress(text(bytes), encoding)).toBeUndefined();
  });
});

describe("decompress", () => {
  const compressions = [
    ["gzip", gzipSync],
    ["br", brotliCompressSync],
    ["deflate", deflateSync],
  ] as const;

  it.each(compressions)("restores %s up to the limit", async (encoding, compressed) => {
    for (const bytes of [0, 1, 1000]) {
      expect(await decompress(compressed(text(bytes)), encoding, 1000)).toEqual({ kind: "bytes", bytes: text(bytes) });
    }
    expect(await decompress(compressed(text(1001)), encoding, 1000)).toEqual({ kind: "too_large" });
  });

  it.each(compressions)("stops early in a bomb of %s", async (encoding, compressed) => {
    const bomb = compressed(Buffer.alloc(100 << 20));
    expect(bomb.length).toBeLessThan(200_000);
    expect(await decompress(bomb, encoding, 1000)).toEqual({ kind: "too_large" });
  });

  it("restores gzip of several parts, as one", async () => {
    const parts = Buffer.concat([gzipSync("ab"), gzipSync("cd")]);
    expect(await decompress(parts, "gzip", 4)).toEqual({ kind: "bytes", bytes: Buffer.from("abcd") });
    expect(await decompress(parts, "gzip", 3)).toEqual({ kind: "too_large" });
  });

  it.each(compressions)("finds %s damaged that is cut or changed", async (encoding, compressed) => {
    const whole = compressed(Buffer.from("a text that is longer than a few bytes"));
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(1) ^ 0xff, 1);
    for (const bytes of [whole.subarray(0, -5), changed, Buffer.from("{}"), Buffer.alloc(20, 0xff)]) {
      expect(await decompress(bytes, encoding, 1000)).toEqual({ kind: "damaged" });
    }
  });

  it("takes deflate as HTTP and gRPC mean it, with the header of zlib", async () => {
    expect(await decompress(deflateRawSync("{}"), "deflate", 1000)).toEqual({ kind: "damaged" });
  });

  it("leaves identity as it is", async () => {
    const bytes = text(10);
    expect(await decompress(bytes, "identity", 1)).toEqual({ kind: "bytes", bytes });
  });

  it.each(["", "nope", "GZIP", "gzip, gzip", "__proto__", "constructor", "*"])("does not know %j", async (encoding) => {
    expect(await decompress(gzipSync("{}"), encoding, 1000)).toEqual({ kind: "unknown_encoding" });
  });
});
