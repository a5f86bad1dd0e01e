import { describe, expect, it } from "vitest";
import { digestToken, generateToken } from "../../../src/auth/token.ts";

describe("generateToken", () => {
  it("makes 256 random bits behind a prefix", () => {
    const token = generateToken();
    expect(token).toMatch(/^portcullis_[A-Za-z0-9_-]{43}$/);
    expect(Buffer.from(token.slice("portcullis_".length), "base64url")).toHaveLength(32);
  });

  it("never makes the same twice", () => {
    expect(new Set(Array.from({ length: 100 }, generateToken)).size).toBe(100);
  });
});

describe("digestToken", () => {
  it.each([
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"],
  ])("of %j is the SHA-256 of its UTF-8 in hex", (token, digest) => {
    expect(digestToken(token)).toBe(digest);
  });
});
