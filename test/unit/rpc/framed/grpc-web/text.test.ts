import { ConnectError } from "@connectrpc/connect";
import type { UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { describe, expect, it } from "vitest";
import { decodeTextRequest, encodeTextResponse } from "../../../../../src/rpc/framed/grpc-web/text.ts";

async function* from<T>(chunks: readonly T[]): AsyncIterable<T> {
  yield* chunks;
}
const bytes = (text: string) => new TextEncoder().encode(text);

function requestOf(chunks: readonly string[], contentType = "application/grpc-web-text+proto"): UniversalServerRequest {
  return {
    httpVersion: "1.1",
    method: "POST",
    url: "http://host/",
    header: new Headers({ "content-type": contentType, "x-other": "1" }),
    body: from(chunks.map(bytes)),
    signal: new AbortController().signal,
  };
}

async function decode(...chunks: string[]): Promise<string> {
  const { body } = decodeTextRequest(requestOf(chunks));
  const decoded: Uint8Array[] = [];
  for await (const chunk of body as AsyncIterable<Uint8Array>) decoded.push(chunk);
  return Buffer.concat(decoded).toString("latin1");
}

async function encode(...chunks: Uint8Array[]): Promise<string[]> {
  const { body } = encodeTextResponse({ status: 200, header: new Headers(), body: from(chunks) });
  const encoded: string[] = [];
  for await (const chunk of body as AsyncIterable<Uint8Array>) encoded.push(Buffer.from(chunk).toString("latin1"));
  return encoded;
}

describe("decodeTextRequest", () => {
  it.each([
    ["nothing", "", ""],
    ["a whole group", "YWJj", "abc"],
    ["one byte", "YQ==", "a"],
    ["two bytes", "YWI=", "ab"],
    ["flushes that were padded each by itself", "YQ==YWI=YWJjYQ==", "aababca"],
    ["a padded flush before an unpadded one", "YQ==YWJj", "aabc"],
    ["both characters beyond letters and digits", "+/+/", "\xfb\xff\xbf"],
  ])("decodes %s", async (_, text, wanted) => {
    expect(await decode(text)).toBe(wanted);
  });

  it("decodes a large body of padded groups in one piece", async () => {
    expect(await decode("YQ==".repeat(65_536))).toBe("a".repeat(65_536));
    expect(await decode(`${"YWJj".repeat(65_536)}YQ==YWJj`)).toBe(`${"abc".repeat(65_536)}aabc`);
  });

  it.each(["====", "Y===", "=YQ=", "Y=Q=", "YQ=a", "YQ==YQ=a", "YQ==Y===YQ=="])(
    "refuses %s, padded wrongly",
    async (text) => {
      await expect(decode(text)).rejects.toThrow("must be base64");
    },
  );

  it("decodes the same wherever the chunks are cut", async () => {
    const text = "YQ==YWI=YWJjYWI=YQ==";
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const chunks = [text.slice(0, first), text.slice(first, second), text.slice(second)];
        expect(await decode(...chunks), chunks.join("|")).toBe("aababcaba");
      }
    }
    expect(await decode(...text.split(""))).toBe("aababcaba");
  });

  it.each([
    "Y",
    "YQ",
    "YWI",
    "YQ=",
    "YWJjY",
    "Y===",
    "=YQ=",
    "YW=j",
    "YQ==Y",
    "YQ==YQ",
    "YWJjYQ=YQ===",
    "YWJj\n",
    "YW Jj",
    "YW\nj",
    "YW-_",
    "YWJ\u0000",
    "YWJé",
    "====",
    "YQ======",
    "YWJj====",
    "====YWJj",
  ])("refuses %j", async (text) => {
    const error = await decode(text).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({ code: 3, rawMessage: "the body of a grpc-web-text request must be base64" });
  });

  it("refuses a body that ends within a group, whatever the chunks", async () => {
    await expect(decode("YWJj", "YW", "I")).rejects.toMatchObject({ code: 3 });
  });

  it.each([
    ["application/grpc-web-text", "application/grpc-web"],
    ["application/grpc-web-text+proto", "application/grpc-web+proto"],
    ["application/grpc-web-text+json", "application/grpc-web+json"],
    ["Application/GRPC-Web-Text+proto", "application/grpc-web+proto"],
  ])("turns the content type %s into %s", (text, binary) => {
    const original = requestOf([], text);
    const { header, method } = decodeTextRequest(original);
    expect(header.get("content-type")?.toLowerCase()).toBe(binary);
    expect([header.get("x-other"), method]).toEqual(["1", "POST"]);
    expect(original.header.get("content-type")).toBe(text);
  });
});

describe("encodeTextResponse", () => {
  it("pads each flush by itself, so that it can be read at once", async () => {
    expect(await encode(bytes("a"), bytes("ab"), bytes("abc"))).toEqual(["YQ==", "YWI=", "YWJj"]);
  });

  it("encodes the bytes that a view shows, not those around it", async () => {
    expect(await encode(bytes("xabcx").subarray(1, 4))).toEqual(["YWJj"]);
  });

  it("encodes every byte, as decoding gives it back", async () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    expect(await decode(...(await encode(all)))).toBe(Buffer.from(all).toString("latin1"));
  });

  it("says so in the content type, and leaves the rest", () => {
    const answer: UniversalServerResponse = {
      status: 200,
      header: new Headers({ "content-type": "application/grpc-web+proto", "x-other": "1" }),
      trailer: new Headers({ "grpc-status": "0" }),
    };
    const encoded = encodeTextResponse(answer);
    expect(Object.fromEntries(encoded.header ?? [])).toEqual({
      "content-type": "application/grpc-web-text+proto",
      "x-other": "1",
    });
    expect(encoded).toMatchObject({ status: 200, trailer: answer.trailer });
    expect(encoded.body).toBeUndefined();
    expect(new Headers(answer.header).get("content-type")).toBe("application/grpc-web+proto");
  });
});
