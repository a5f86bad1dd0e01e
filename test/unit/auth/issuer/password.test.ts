import { describe, expect, it } from "vitest";
import {
  checkNewPassword,
  hashPassword,
  PasswordBusyError,
  verifyPassword,
} from "../../../../src/auth/issuer/password.ts";

const phrase = "correct horse battery staple";

// Made with Python's hashlib.scrypt. All but the last are cheap, which the parameters in the text allow.
const salt = "c2l4dGVlbiBzYWx0IGJ5dA";
const key = "EUmwscuVD2Fc874RMY0Z17Q/WI8GEev3Yi5T6byHdNs";
const cheap = `$scrypt$ln=4,r=1,p=1$${salt}$${key}`;
const longKey =
  "$scrypt$ln=4,r=8,p=2$c2l4dGVlbiBzYWx0IGJ5dHNpeHRlZW4gc2FsdCBieXQ$PQPP2Vwii+wvvj0bJmNovi2eDf1mNfDeR0Zs6H5IgXJNLE/ijdyvPVUjhb7Ea1VZ867jlK6QEGwVCwR2Xohs/w";
const cafe = `$scrypt$ln=4,r=1,p=1$${salt}$ucxykzOReV9SFpbtrP3+Nugctg6p/xGUTQ+mCV7sJlk`;
const current = `$scrypt$ln=15,r=8,p=3$${salt}$h3hw9dimIYahh1CR5QLdjnfP2G2lXmdFE70Qw5VWb5Q`;

/** In which order promises settle. */
async function orderOf(promises: Readonly<Record<string, Promise<unknown>>>): Promise<string[]> {
  const order: string[] = [];
  await Promise.all(Object.entries(promises).map(([name, promise]) => promise.then(() => order.push(name))));
  return order;
}

describe("hashPassword", () => {
  it("makes PHC strings with a new salt each time, which verify", async () => {
    const [first, second] = await Promise.all([hashPassword(phrase), hashPassword(phrase)]);
    for (const hash of [first, second]) {
      expect(hash).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    }
    expect(first.split("$")[3]).not.toBe(second.split("$")[3]);
    expect(await verifyPassword(phrase, first)).toBe(true);
  });

  it("refuses a password that could never be verified", async () => {
    await expect(hashPassword("é".repeat(513))).rejects.toThrow(new RangeError("a password of more than 1024 bytes"));
  });
});

describe("verifyPassword", () => {
  it.each([
    ["of today's cost", phrase, current],
    ["of another cost", phrase, cheap],
    ["with a longer salt and key", phrase, longKey],
    ["beyond ASCII", "café", cafe],
  ])("accepts the password of a hash %s", async (_, password, hash) => {
    expect(await verifyPassword(password, hash)).toBe(true);
  });

  it.each([
    ["another password", "correct horse battery stapler"],
    ["other letter case", "Correct horse battery staple"],
    ["a space at the end", `${phrase} `],
    ["NUL and more after the password", `${phrase}\0x`],
    ["nothing", ""],
  ])("refuses %s", async (_, password) => {
    expect(await verifyPassword(password, cheap)).toBe(false);
  });

  it.each([
    ["a combining accent", "cafe\u0301", true],
    ["letters of full width", "\uff43\uff41\uff46é", true],
    ["no accent", "cafe", false],
  ])("compares in NFKC: café with %s", async (_, password, same) => {
    expect(await verifyPassword(password, cafe)).toBe(same);
  });

  // Each is a test of its own, with a time of its own, since each costs a whole hash: a second where the machine is busy. Those
  // that ask for too much are the password's all the same.
  it.each([
    ["another scheme's", `$argon2id$v=19$m=65536,t=3,p=4$${salt}$${key}`],
    ["without a key", `$scrypt$ln=4,r=1,p=1$${salt}$`],
    ["with a key that is too short to tell passwords apart", `$scrypt$ln=4,r=1,p=1$${salt}$${key.slice(0, 42)}`],
    ["with text after it", `${cheap}\n`],
    ["with ln of 0", cheap.replace("ln=4", "ln=0")],
    ["with ln above 20", cheap.replace("ln=4", "ln=21")],
    ["with r above 32", `$scrypt$ln=4,r=33,p=1$${salt}$TQOFf9vW1KkQ2TILJG97fBtX8y0lJt16aw8n/toQfic`],
    ["with p above 16", `$scrypt$ln=4,r=1,p=17$${salt}$qzspaD2TNGBkZsTm6zj9Cv6XIMCUiE4p7dSgOnKG5RM`],
    ["that would take 256 MiB", `$scrypt$ln=18,r=8,p=1$${salt}$Mk7iebDjq/3tnHdyuJURBJ89BGTBfLNUhIh3ZilDfXU`],
    ["whose N scrypt does not allow", cheap.replace("ln=4", "ln=16")],
  ])("is false for a damaged hash (%s)", async (_, hash) => {
    expect(await verifyPassword(phrase, hash)).toBe(false);
  });

  it("is false without a hash, after work: a cheap one that starts later ends earlier", async () => {
    // The empty password, in case the dummy were made of it.
    const unknown = verifyPassword("", undefined);
    expect(await orderOf({ unknown, cheap: verifyPassword(phrase, cheap) })).toEqual(["cheap", "unknown"]);
    expect(await unknown).toBe(false);
  });

  it("refuses a password that is too long at once, whoever the user is", async () => {
    const tooLong = "a".repeat(1025);
    const known = verifyPassword(tooLong, cheap);
    const unknown = verifyPassword(tooLong, undefined);
    const order = await orderOf({ cheap: verifyPassword(phrase, cheap), known, unknown });
    expect(order).toEqual(["known", "unknown", "cheap"]);
    expect(await Promise.all([known, unknown])).toEqual([false, false]);
  });
});

describe("the queue", () => {
  it("takes 2 and 64 that wait, refuses what comes beyond, and recovers", async () => {
    const taken = Array.from({ length: 66 }, () => verifyPassword(phrase, cheap));
    const beyond = await Promise.allSettled([
      verifyPassword(phrase, cheap),
      verifyPassword(phrase, undefined),
      hashPassword(phrase),
    ]);
    expect(beyond).toEqual(Array(3).fill({ status: "rejected", reason: new PasswordBusyError() }));
    for (const refused of beyond) expect(refused).toHaveProperty("reason.name", "PasswordBusyError");
    expect(new Set(await Promise.all(taken))).toEqual(new Set([true]));
    // Every place is free again, no more and no fewer.
    const again = Array.from({ length: 66 }, () => verifyPassword(phrase, cheap));
    await expect(verifyPassword(phrase, cheap)).rejects.toThrow(
      "Too many passwords are being checked; try again in a few seconds.",
    );
    expect(await Promise.all(again)).toHaveLength(66);
  });

  it("keeps 16 places for those who are no strangers", async () => {
    const asStranger = () => verifyPassword(phrase, cheap, { isStranger: true });
    const strangers = Array.from({ length: 50 }, asStranger);
    await expect(asStranger()).rejects.toThrow(PasswordBusyError);
    const others = Array.from({ length: 16 }, () => verifyPassword(phrase, cheap));
    await expect(verifyPassword(phrase, cheap)).rejects.toThrow(PasswordBusyError);
    await expect(asStranger()).rejects.toThrow(PasswordBusyError);
    expect(new Set(await Promise.all([...strangers, ...others]))).toEqual(new Set([true]));
    expect(await asStranger()).toBe(true);
  });

  it("is first come, first served", async () => {
    const names = Array.from({ length: 20 }, (_, i) => String(i));
    // The slow one keeps one of the two places, so the others go through the other one.
    const slow = verifyPassword(phrase, undefined);
    const order = await orderOf(Object.fromEntries(names.map((name) => [`n${name}`, verifyPassword(phrase, cheap)])));
    await slow;
    expect(order).toEqual(names.map((name) => `n${name}`));
  });
});

describe("checkNewPassword", () => {
  const short = "The password needs at least 12 characters.";
  const long = "The password is longer than 1024 bytes.";

  it.each([
    ["12 letters", "abcdefghijkl", undefined],
    ["12 of the same: there are no rules of composition", "aaaaaaaaaaaa", undefined],
    ["12 spaces", " ".repeat(12), undefined],
    ["12 emoji", "🔑".repeat(12), undefined],
    ["1024 bytes", "a".repeat(1024), undefined],
    ["1024 bytes of letters that take two", "é".repeat(512), undefined],
    ["nothing", "", short],
    ["11 letters", "abcdefghijk", short],
    ["11 emoji, which are 22 UTF-16 units", "🔑".repeat(11), short],
    ["6 letters with combining accents", "e\u0301".repeat(6), short],
    ["one ligature that stands for 18 letters", "\ufdfa", short],
    ["1025 bytes", "a".repeat(1025), long],
    ["513 letters that take two bytes", "é".repeat(513), long],
  ])("%s", (_, password, problem) => {
    expect(checkNewPassword(password)).toBe(problem);
  });
});
