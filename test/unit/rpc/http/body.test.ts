import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { readBody, shownBytes } from "../../../../src/rpc/http/body.ts";

/** What is read of these chunks, and what the check was told each time. */
async function read(chunks: readonly Buffer[], check: Parameters<typeof readBody>[1] = () => {}) {
  const told: { readonly length: number; readonly start: string }[] = [];
  const source = new PassThrough();
  const body = readBody(source, (length, start) => {
    told.push({ length, start: start.toString("latin1") });
    check(length, start);
  });
  for (const chunk of chunks) source.write(chunk);
  source.end();
  return { body: await body, told };
}

const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));

describe("readBody", () => {
  it.each([1, 2, 3, 7, 8, 9, 1023, 1024, 1025, 4999, 5000])("joins chunks of %d bytes", async (size) => {
    const count = Math.ceil(bytes.length / size);
    const chunks = Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
    const { body, told } = await read(chunks);
    expect(body.equals(bytes)).toBe(true);
    expect(told.map(({ length }) => length)).toEqual(chunks.map((_, index) => Math.min((index + 1) * size, 5000)));
    const start = bytes.toString("latin1");
    for (const one of told) {
      expect(one.start).toBe(start.slice(0, one.start.length));
      expect(one.start.length).toBeGreaterThanOrEqual(Math.min(one.length, shownBytes));
    }
  });

  it("reads nothing as nothing", async () => {
    expect((await read([])).body.length).toBe(0);
    expect((await read([Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(0)])).body.toString()).toBe("x");
  });

  it("ends with what the check throws", async () => {
    const check = (length: number) => {
      if (length > 3) throw new Error("enough");
    };
    await expect(read([Buffer.from("ab"), Buffer.from("cd"), Buffer.from("ef")], check)).rejects.toThrow("enough");
  });
});
