import { describe, expect, it } from "vitest";
import { expectStatus } from "../fixtures/sturdy.ts";
import { openTranscoding, type TranscodingOptions } from "../fixtures/transcoding.ts";
import { exchange, type Reply } from "../fixtures/wire.ts";

const versions = [{ version: 1 }, { version: 2 }] as const;

async function ask(version: 1 | 2, path: string, options: TranscodingOptions = {}): Promise<Reply> {
  const server = await openTranscoding(options);
  const reply = await exchange(server.url, { version, method: "GET", path });
  expect(server.failures).toEqual([]);
  return reply;
}

function jsonOf(reply: Reply): Record<string, unknown> {
  expect(reply.status, reply.body.toString()).toBe(200);
  return JSON.parse(reply.body.toString());
}

const taken: readonly { readonly query: string; readonly want: object }[] = [
  { query: "", want: { text: "", small: 0 } },
  { query: "&&", want: { text: "" } },
  { query: "text=a", want: { text: "a" } },
  { query: "text=", want: { text: "" } },
  { query: "text", want: { text: "" } },
  { query: "text=a=b=c", want: { text: "a=b=c" } },
  { query: "text=a?b/c:d@e", want: { text: "a?b/c:d@e" } },
  { query: "text=a+b%2Bc%20d", want: { text: "a b+c d" } },
  { query: "text=%26%3D%23%25", want: { text: "&=#%" } },
  { query: "text=%252F", want: { text: "%2F" } },
  { query: "text=%C3%A9%F0%9F%92%A1", want: { text: "é💡" } },
  { query: "text=a;small=1", want: { text: "a;small=1", small: 0 } },
  { query: "te%78t=a", want: { text: "a" } },
  // Both names of a field, and one that the proto file made up for JSON.
  { query: "shortReal=1.5", want: { shortReal: 1.5 } },
  { query: "short_real=1.5", want: { shortReal: 1.5 } },
  { query: "other-name=a", want: { "other-name": "a" } },
  { query: "renamed=a", want: { "other-name": "a" } },
  // Scalars.
  { query: "real=1e-7&shortReal=-3", want: { real: 1e-7, shortReal: -3 } },
  { query: "real=Infinity&shortReal=NaN", want: { real: "Infinity", shortReal: "NaN" } },
  { query: "small=-2147483648&zigzag=2147483647", want: { small: -2147483648, zigzag: 2147483647 } },
  {
    query: "big=-9223372036854775808&bigCount=18446744073709551615",
    want: { big: "-9223372036854775808", bigCount: "18446744073709551615" },
  },
  {
    query: "count=4294967295&fixed=0&bigFixed=9007199254740993",
    want: { count: 4294967295, bigFixed: "9007199254740993" },
  },
  {
    query: "signedFixed=-1&bigSignedFixed=-2&bigZigzag=-3",
    want: { signedFixed: -1, bigSignedFixed: "-2", bigZigzag: "-3" },
  },
  { query: "flag=true", want: { flag: true } },
  { query: "raw=%2B/8=", want: { raw: "+/8=" } },
  { query: "raw=-_8", want: { raw: "+/8=" } },
  { query: "raw=AQI", want: { raw: "AQI=" } },
  { query: "shade=SHADE_DARK", want: { shade: "SHADE_DARK" } },
  { query: "shade=-1", want: { shade: "SHADE_NEGATIVE" } },
  { query: "shade=42", want: { shade: 42 } },
  // Presence.
  {
    query: "maybeText=&maybeNumber=0&maybeFlag=false&maybeShade=0&maybeRaw=&maybeReal=0",
    want: {
      maybeText: "",
      maybeNumber: 0,
      maybeFlag: false,
      maybeShade: "SHADE_UNSPECIFIED",
      maybeRaw: "",
      maybeReal: 0,
    },
  },
  { query: "chosenNumber=0", want: { chosenNumber: "0" } },
  { query: "chosenPart.id=", want: { chosenPart: { id: "" } } },
  { query: "chosenPart.id=a&chosen_part.size=2", want: { chosenPart: { id: "a", size: 2 } } },
  // Messages in messages.
  { query: "part.inner.inner.id=a&part.size=3", want: { part: { size: 3, inner: { inner: { id: "a" } } } } },
  { query: "child.child.part.shade=SHADE_LIGHT", want: { child: { child: { part: { shade: "SHADE_LIGHT" } } } } },
  { query: "child.texts=a&child.texts=b", want: { child: { texts: ["a", "b"] } } },
  { query: "child.chosenText=a&chosenNumber=1", want: { child: { chosenText: "a" }, chosenNumber: "1" } },
  // Lists, in their order; a comma parts nothing.
  { query: "texts=b&small=1&texts=a&texts=", want: { texts: ["b", "a", ""], small: 1 } },
  { query: "texts=a,b", want: { texts: ["a,b"] } },
  { query: "smalls=3&smalls=-1", want: { smalls: [3, -1] } },
  { query: "bigs=9007199254740993", want: { bigs: ["9007199254740993"] } },
  { query: "flags=true&flags=false", want: { flags: [true, false] } },
  { query: "reals=1&reals=NaN", want: { reals: [1, "NaN"] } },
  { query: "raws=_w&raws=", want: { raws: ["/w==", ""] } },
  { query: "shades=SHADE_DARK&shades=1", want: { shades: ["SHADE_DARK", "SHADE_LIGHT"] } },
  { query: "times=2024-01-01T00:00:00Z", want: { times: ["2024-01-01T00:00:00Z"] } },
  { query: "wrappedTexts=a&wrapped_texts=b", want: { wrappedTexts: ["a", "b"] } },
  // Well-known types.
  { query: "time=2024-01-01T01:00:00%2B01:00", want: { time: "2024-01-01T00:00:00Z" } },
  { query: "time=9999-12-31T23:59:59.999999999Z", want: { time: "9999-12-31T23:59:59.999999999Z" } },
  { query: "span=-1.000000001s", want: { span: "-1.000000001s" } },
  // As in JSON, where a text may be a number in any form.
  { query: "small=1e3&big=1.50e1", want: { small: 1000, big: "15" } },
  { query: "mask=a.bC,d", want: { mask: "a.bC,d" } },
  { query: "mask=a.b_c,d", want: { mask: "a.bC,d" } },
  { query: "mask=", want: { mask: "" } },
  { query: "wrappedText=", want: { wrappedText: "" } },
  {
    query: "wrappedFlag=false&wrappedBig=0&wrappedRaw=",
    want: { wrappedFlag: false, wrappedBig: "0", wrappedRaw: "" },
  },
  {
    query: "wrappedReal=1.5&wrappedShortReal=2&wrappedBigCount=3&wrappedSmall=-4&wrappedCount=5",
    want: { wrappedReal: 1.5, wrappedShortReal: 2, wrappedBigCount: "3", wrappedSmall: -4, wrappedCount: 5 },
  },
];

/** What is refused with 400, and the parameter that the answer names. */
const refused: readonly { readonly query: string; readonly field: string }[] = [
  { query: "nope=1", field: "nope" },
  { query: "Text=a", field: "Text" },
  { query: "=a", field: "" },
  { query: "part.nope=1", field: "part.nope" },
  { query: "part.=1", field: "part." },
  { query: ".part=1", field: ".part" },
  { query: "text.a=1", field: "text.a" },
  { query: "text[]=a", field: "text[]" },
  { query: "__proto__=1", field: "__proto__" },
  { query: "constructor=1", field: "constructor" },
  { query: "__proto__.text=1", field: "__proto__.text" },
  { query: "text=a&text=a", field: "text" },
  { query: "shortReal=1&short_real=1", field: "short_real" },
  { query: "child.text=a&child.text=b", field: "child.text" },
  { query: "chosenText=a&chosenNumber=1", field: "chosenNumber" },
  { query: "chosenText=a&chosenPart.id=1", field: "chosenPart.id" },
  { query: "chosenPart.id=1&chosenTime=2024-01-01T00:00:00Z", field: "chosenTime" },
  // Which a text cannot set.
  { query: "part=a", field: "part" },
  { query: "parts=a", field: "parts" },
  { query: "parts.id=a", field: "parts.id" },
  { query: "labels=a", field: "labels" },
  { query: "labels.a=b", field: "labels.a" },
  { query: "labels[a]=b", field: "labels[a]" },
  { query: "object=%7B%7D", field: "object" },
  { query: "any=a", field: "any" },
  { query: "nothing=", field: "nothing" },
  { query: "times.seconds=1", field: "times.seconds" },
  // Which do not fit.
  { query: "small=", field: "small" },
  { query: "small=1.5", field: "small" },
  { query: "small=1e", field: "small" },
  { query: "small=0x10", field: "small" },
  { query: "small=%201", field: "small" },
  { query: "small=+1", field: "small" },
  { query: "small=2147483648", field: "small" },
  { query: "small=-2147483649", field: "small" },
  { query: "small=%D9%A1", field: "small" },
  { query: "count=-1", field: "count" },
  { query: "big=9223372036854775808", field: "big" },
  { query: "bigCount=-1", field: "bigCount" },
  { query: "flag=TRUE", field: "flag" },
  { query: "flag=1", field: "flag" },
  { query: "flag", field: "flag" },
  { query: "real=", field: "real" },
  { query: "real=1e999", field: "real" },
  { query: "real=.5", field: "real" },
  { query: "real=0x1", field: "real" },
  { query: "real=infinity", field: "real" },
  { query: "shortReal=3.5e38", field: "shortReal" },
  { query: "raw=+/8=", field: "raw" },
  { query: "raw=*", field: "raw" },
  { query: "raw=A", field: "raw" },
  { query: "shade=DARK", field: "shade" },
  { query: "shade=shade_dark", field: "shade" },
  { query: "shade=", field: "shade" },
  { query: "shade=2147483648", field: "shade" },
  { query: "shades=SHADE_DARK&shades=PALE", field: "shades" },
  { query: "smalls=1&smalls=x", field: "smalls" },
  { query: "time=2024-01-01", field: "time" },
  { query: "time=0", field: "time" },
  { query: "span=1m", field: "span" },
  { query: "span=315576000001s", field: "span" },
  { query: "wrappedFlag=", field: "wrappedFlag" },
  { query: "text=a%00", field: "text" },
  { query: "texts=a&texts=%00", field: "texts" },
  { query: "wrappedText=%00", field: "wrappedText" },
  { query: "child.child.part.size=x", field: "child.child.part.size" },
];

describe.each(versions)("a query over HTTP/$version", ({ version }) => {
  it.each(taken)("takes ?$query", async ({ query, want }) => {
    expect(jsonOf(await ask(version, `/t/v1/query?${query}`))).toMatchObject(want);
  });
  it.each(refused)("refuses ?$query, and names the parameter", async ({ query, field }) => {
    expectStatus(await ask(version, `/t/v1/query?${query}`), { http: 400, code: 3, field });
  });
  it.each([
    ["text=%", "text"],
    ["text=%zz", "text"],
    ["small=1&part.id=%ff", "part.id"],
    ["text=%C0%AF", "text"],
    ["te%xt=1", "te%xt"],
    ["text=%ED%A0%80", "text"],
  ])("refuses ?%s, which is no text, and names %s", async (query, field) => {
    expectStatus(await ask(version, `/t/v1/query?${query}`), { http: 400, code: 3, field });
  });
  it("refuses bytes that are not escaped and no ASCII", async () => {
    // Over HTTP/1.1 the parser refuses them, before there is a request.
    const field = version === 2 ? { field: "url" } : {};
    expectStatus(await ask(version, "/t/v1/query?text=\u00c3\u00a9"), { http: 400, code: 3, ...field });
  });
  it("ends its names at a depth that no person reaches", async () => {
    const deep = (depth: number) => `${"child.".repeat(depth)}text`;
    expect(JSON.stringify(jsonOf(await ask(version, `/t/v1/query?${deep(20)}=a`)))).toContain('"text":"a"');
    expectStatus(await ask(version, `/t/v1/query?${deep(2_000)}=a`), { http: 400, code: 3, field: deep(2_000) });
  });
  it("may be a list as long as headers may be", async () => {
    const answer = jsonOf(await ask(version, `/t/v1/query?${"smalls=1&".repeat(1_700)}`));
    expect(answer["smalls"]).toHaveLength(1_700);
  });
  it("does not set what the path sets", async () => {
    for (const query of ["child.part.size=1", "child.part.size=7"]) {
      const reply = await ask(version, `/t/v1/query/a/b/7?${query}`);
      expectStatus(reply, { http: 400, code: 3, field: "child.part.size" });
    }
    const reply = await ask(version, "/t/v1/optionals/a/1/true/SHADE_DARK/1?maybe_text=b");
    expectStatus(reply, { http: 400, code: 3, field: "maybe_text" });
  });
  it("does not set an alternative to what the path sets", async () => {
    const reply = await ask(version, "/t/v1/optionals/a/1/true/SHADE_DARK/1?chosenText=b");
    expectStatus(reply, { http: 400, code: 3, field: "chosen_number" });
  });
  it("passes over what names no field, or one of path or body, on a server that ignores it", async () => {
    const path = "/t/v1/query/a/b/7?nope=1&child.part.size=8&part=x&labels.a=b&text=c&access_token=secret";
    const answer = jsonOf(await ask(version, path, { ignoreUnknown: true }));
    expect(answer).toMatchObject({
      part: { inner: { id: "a" } },
      child: { text: "b", part: { size: 7 } },
      text: "c",
      labels: {},
    });
  });
  it("is not passed over where a value does not fit", async () => {
    const reply = await ask(version, "/t/v1/query?small=x&nope=1", { ignoreUnknown: true });
    expectStatus(reply, { http: 400, code: 3, field: "small" });
  });
  it("of Connect's GET means nothing here", async () => {
    expectStatus(await ask(version, "/t/v1/query?connect=v1"), { http: 400, code: 3, field: "connect" });
  });
});
