import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import type { ListenerRequest } from "../../../src/rpc/listener/handler.ts";
import { canonicalAddress, createClientAddress, parseTrustedProxy } from "../../../src/telemetry/client-address.ts";

const proxy = "10.0.0.1";
const trusted = ["10.0.0.0/8", "2001:db8:ffff::/48"];

interface Sent {
  peer?: string | undefined;
  list?: string | string[];
  forwarded?: string | string[];
}

const clientOf = ({ list, forwarded, ...sent }: Sent, proxies: readonly string[] = trusted) =>
  createClientAddress(proxies)({
    socket: { remoteAddress: "peer" in sent ? sent.peer : proxy },
    headers: { "x-forwarded-for": list, forwarded },
  });

describe("without a trusted proxy, the client", () => {
  it.each([
    ["IPv4", "192.0.2.1", "192.0.2.1"],
    ["mapped IPv4, as on a socket of both families", "::ffff:192.0.2.1", "192.0.2.1"],
    ["IPv6", "2001:DB8:0:0::1", "2001:db8::1"],
    ["IPv6 with a zone", "fe80::1%eth0", "fe80::1"],
    ["a closed socket's", undefined, "unknown"],
    ["none", "", "unknown"],
  ])("is the peer: %s", (_, peer, client) => {
    expect(clientOf({ peer }, [])).toBe(client);
  });

  it.each([
    ["no proxy is trusted", [], proxy],
    ["another proxy is trusted", ["10.0.0.2"], proxy],
    ["the peer is just outside the range", ["10.0.0.0/8"], "11.0.0.0"],
    ["the peer is just outside the range, in IPv6", trusted, "2001:db8:fffe:ffff::1"],
    ["IPv4 is not in a range of IPv6", ["::/1"], proxy],
  ])("is the peer whatever the headers say: %s", (_, proxies, peer) => {
    const sent = { peer, list: "192.0.2.1", forwarded: "for=192.0.2.1" };
    expect(clientOf(sent, proxies)).toBe(peer);
  });
});

describe("behind a trusted proxy", () => {
  it.each([
    ["an address", ["10.0.0.1"], "10.0.0.1"],
    ["a range", ["10.0.0.0/8"], "10.255.255.255"],
    ["a range written with an address in it", ["10.1.2.3/8"], "10.255.255.255"],
    ["a mapped peer", ["10.0.0.1"], "::ffff:10.0.0.1"],
    ["a mapped range", ["::ffff:10.0.0.0/104"], "10.1.1.1"],
    ["IPv6", ["2001:db8:ffff::/48"], "2001:db8:ffff:1::1"],
    ["IPv6 written otherwise", ["2001:DB8:FFFF:0::1"], "2001:db8:ffff::1"],
    ["every IPv4 address", ["0.0.0.0/0"], "203.0.113.9"],
  ])("the client is the one it names: %s", (_, proxies, peer) => {
    expect(clientOf({ peer, list: "2001:db8::7" }, proxies)).toBe("2001:db8::7");
  });

  it.each([
    ["no header", {}, proxy],
    ["an empty header", { list: " ", forwarded: "" }, proxy],
    ["a socket that is closed", { peer: undefined, list: "192.0.2.1" }, "unknown"],
  ])("with %s", (_, sent, client) => {
    expect(clientOf(sent)).toBe(client);
  });
});

describe("X-Forwarded-For", () => {
  it.each([
    ["one hop", "192.0.2.1", "192.0.2.1"],
    ["spaces and tabs", " \t192.0.2.1\t ", "192.0.2.1"],
    ["a port", "192.0.2.1:4711", "192.0.2.1"],
    ["IPv6", "2001:DB8::1", "2001:db8::1"],
    ["IPv6 in brackets", "[2001:db8::1]", "2001:db8::1"],
    ["IPv6 in brackets with a port", "[2001:db8::1]:4711", "2001:db8::1"],
    ["mapped IPv4", "::ffff:192.0.2.1", "192.0.2.1"],
    ["trusted hops after the client", "192.0.2.1, 10.0.0.9,2001:db8:ffff::1 , 10.0.0.2", "192.0.2.1"],
    ["trusted hops with ports", "192.0.2.1:1, 10.0.0.9:2, [2001:db8:ffff::1]:3", "192.0.2.1"],
    ["two headers", ["192.0.2.1", "10.0.0.9"], "192.0.2.1"],
    ["what the client claimed before", "203.0.113.1, 192.0.2.1", "192.0.2.1"],
    ["a claim to be a proxy", "10.0.0.9, 192.0.2.1", "192.0.2.1"],
    ["a claim in a header of its own", ["203.0.113.1", "192.0.2.1"], "192.0.2.1"],
    ["trusted hops only: the one farthest away", "10.0.0.8, 10.0.0.9", "10.0.0.8"],
  ])("%s", (_, list, client) => {
    expect(clientOf({ list })).toBe(client);
  });

  it.each([
    "unknown",
    "_hidden",
    "localhost",
    "",
    "192.0.2.1,",
    "192.0.2",
    "192.0.2.256",
    "192.0.2.01",
    "0xc0.0.2.1",
    "3221225985",
    "192.0.2.1:",
    "192.0.2.1:123456",
    "192.0.2.1:80:80",
    "192.0.2.1/32",
    "192.0.2.1 10.0.0.1",
    "'192.0.2.1'",
    '"192.0.2.1"',
    "for=192.0.2.1",
    "[192.0.2.1]",
    "[2001:db8::1",
    "2001:db8::1]",
    "[]",
    "[2001:db8::1]x",
    "2001:db8:::1",
    "１９２.0.2.1",
    "192.0.2.1\0",
  ])("a hop that is no address ends the walk at the one before it: %j", (hop) => {
    expect(clientOf({ list: `192.0.2.1, ${hop}` })).toBe(proxy);
    expect(clientOf({ list: `192.0.2.1, ${hop}, 10.0.0.9` })).toBe("10.0.0.9");
    expect(clientOf({ list: `${hop}, 192.0.2.7` })).toBe("192.0.2.7");
  });
});

describe("Forwarded", () => {
  it.each([
    ["one hop", "for=192.0.2.1", "192.0.2.1"],
    ["other letter case", "FOR=192.0.2.1", "192.0.2.1"],
    ["in quotes", 'for="192.0.2.1"', "192.0.2.1"],
    ["in quotes with escapes", 'for="1\\92.0.2.1"', "192.0.2.1"],
    ["with a port", 'for="192.0.2.1:4711"', "192.0.2.1"],
    ["with an obfuscated port", 'for="192.0.2.1:_p-o.r_t"', "192.0.2.1"],
    ["IPv6", 'for="[2001:db8::1]"', "2001:db8::1"],
    ["IPv6 with a port", 'for="[2001:DB8:0::1]:4711"', "2001:db8::1"],
    ["other pairs around it", "proto=https;for=192.0.2.1;by=10.0.0.1;host=issuer.example", "192.0.2.1"],
    ["spaces around the pairs", "proto=https ; for=192.0.2.1 ; by=10.0.0.1", "192.0.2.1"],
    ["a semicolon at the end", "for=192.0.2.1;", "192.0.2.1"],
    ["commas and semicolons in quotes", 'for=192.0.2.1;host="a,b;for=203.0.113.1,c"', "192.0.2.1"],
    ["escaped quotes in quotes", 'for=192.0.2.1;host="a\\",for=203.0.113.1;x=\\"b"', "192.0.2.1"],
    ["trusted hops after the client", 'for=192.0.2.1, for="[2001:db8:ffff::1]:1";proto=http,for=10.0.0.2', "192.0.2.1"],
    ["two headers", ["for=192.0.2.1", "for=10.0.0.2"], "192.0.2.1"],
    ["what the client claimed before", "for=203.0.113.1, for=192.0.2.1", "192.0.2.1"],
    ["trusted hops only: the one farthest away", "for=10.0.0.8, for=10.0.0.9", "10.0.0.8"],
  ])("%s", (_, forwarded, client) => {
    expect(clientOf({ forwarded })).toBe(client);
  });

  it.each([
    "for=unknown",
    "for=_hidden",
    "for=",
    'for=""',
    "proto=https",
    "192.0.2.1",
    "for=2001:db8::1",
    "for=[2001:db8::1]",
    "for=192.0.2.1:80",
    'for="192.0.2.1',
    'for="192.0.2.1"x',
    "for = 192.0.2.1",
    "for=192.0.2.1;for=192.0.2.2",
    "for=192.0.2.1;;proto=https",
    ";for=192.0.2.1",
    "for=192.0.2.1 10.0.0.1",
    'for="[2001:db8::1"',
    'for="[192.0.2.1]"',
  ])("a hop without an address ends the walk at the one before it: %j", (hop) => {
    expect(clientOf({ forwarded: `for=192.0.2.1, ${hop}` })).toBe(proxy);
    expect(clientOf({ forwarded: `for=192.0.2.1, ${hop}, for=10.0.0.9` })).toBe("10.0.0.9");
  });

  it.each([
    ["an unclosed quote", 'for="', "for=192.0.2.1"],
    ["an unclosed quote with a hop", 'for=203.0.113.1;x="', "for=192.0.2.1"],
    ["an unclosed quote and quotes after it", 'for="203.0.113.1', 'for="192.0.2.1"'],
    ["an unclosed quote, IPv6 after it", 'for=203.0.113.1;x="', 'for="[2001:db8:1::1]:80"'],
    ["a backslash at the end", 'for="\\', "for=192.0.2.1"],
    ["an escaped quote at the end", 'for="\\"', "for=192.0.2.1"],
    ["a name without a value", "for", "for=192.0.2.1"],
  ])("what the client left open cannot swallow what the proxy adds: %s", (_, claim, added) => {
    const client = added.includes("[") ? "2001:db8:1::1" : "192.0.2.1";
    expect(clientOf({ forwarded: `${claim}, ${added}` })).toBe(client);
    expect(clientOf({ forwarded: `${claim},${added}` })).toBe(client);
  });

  it.each([
    "a,for=203.0.113.1;b=",
    "a,for=203.0.113.1",
    ',for=203.0.113.1;x=\\"',
    '\\",for=203.0.113.1;x=\\"y',
    ";for=203.0.113.1;",
    "a, b, c",
  ])("nor can a host that the proxy quotes add a hop: %j", (host) => {
    expect(clientOf({ forwarded: `for=192.0.2.1;host="${host}";proto="https"` })).toBe("192.0.2.1");
    expect(clientOf({ forwarded: `for="192.0.2.1";host="${host}"` })).toBe("192.0.2.1");
  });
});

describe("both headers", () => {
  it.each([
    ["agree", { list: "203.0.113.1, 192.0.2.1", forwarded: "for=192.0.2.1;proto=https" }, "192.0.2.1"],
    ["agree in other words", { list: "2001:DB8::1", forwarded: 'for="[2001:db8:0::1]:80"' }, "2001:db8::1"],
    ["disagree", { list: "192.0.2.1", forwarded: "for=203.0.113.1" }, proxy],
    ["disagree, and one hides the client", { list: "192.0.2.1", forwarded: "for=_hidden" }, proxy],
    ["disagree, and one is malformed", { list: "garbage", forwarded: "for=192.0.2.1" }, proxy],
    ["disagree about a proxy on the way", { list: "192.0.2.1, 10.0.0.9", forwarded: "for=10.0.0.9" }, proxy],
    ["one is empty", { list: "", forwarded: "for=192.0.2.1" }, "192.0.2.1"],
  ])("%s", (_, sent, client) => {
    expect(clientOf(sent)).toBe(client);
  });
});

describe("a header that is too long", () => {
  const farAway = "203.0.113.1, ";

  it("is read from its end, so a client cannot get rid of its own address", () => {
    const list = `${farAway.repeat(1_000)}192.0.2.1, 10.0.0.9`;
    expect(clientOf({ list })).toBe("192.0.2.1");
    expect(clientOf({ forwarded: `${"for=203.0.113.1, ".repeat(1_000)}for=192.0.2.1, for=10.0.0.9` })).toBe(
      "192.0.2.1",
    );
    expect(clientOf({ forwarded: `for="${"\\".repeat(5_000)}, for=192.0.2.1` })).toBe("192.0.2.1");
  });

  it("is read for 50 hops", () => {
    const hops = (count: number) => Array<string>(count).fill("10.0.0.9");
    expect(clientOf({ list: ["192.0.2.1", ...hops(49)].join(",") })).toBe("192.0.2.1");
    expect(clientOf({ list: ["192.0.2.1", ...hops(50)].join(",") })).toBe("10.0.0.9");
    const named = (count: number) => hops(count).map((hop) => `for=${hop}`);
    expect(clientOf({ forwarded: ["for=192.0.2.1", ...named(49)].join(",") })).toBe("192.0.2.1");
    expect(clientOf({ forwarded: ["for=192.0.2.1", ...named(50)].join(",") })).toBe("10.0.0.9");
  });

  it("is never read from the middle of an address", () => {
    // 4 096 characters from the end, 110.1.2.3 is cut to 10.1.2.3, which is trusted.
    const end = `${" ".repeat(4_096 - "10.1.2.3,10.0.0.9".length)}10.0.0.9`;
    expect(clientOf({ list: `110.1.2.3,${end}` })).toBe("10.0.0.9");
    // And one hop that fills it all is none.
    expect(clientOf({ list: `192.0.2.1${" ".repeat(5_000)}` })).toBe(proxy);
  });

  it.each([
    ["quotes", '"'.repeat(4_096)],
    ["commas", ",".repeat(4_096)],
    ["pairs that never end", `${"a=b;".repeat(1_023)}!`],
    ["quoted strings that never end", `for="${"\\a,".repeat(1_300)}`],
    ["half-open elements", 'for=",'.repeat(682)],
    ["spaces", `for=192.0.2.1${" ".repeat(4_000)}!`],
  ])("costs little to refuse: %s", (_, text) => {
    const started = process.cpuUsage();
    for (let i = 0; i < 10; i += 1) {
      expect(clientOf({ forwarded: text })).toBe(proxy);
      expect(clientOf({ list: text })).toBe(proxy);
    }
    const { user } = process.cpuUsage(started);
    // Far above the milliseconds it takes, and far below what a pattern that backtracks would.
    expect(user / 10).toBeLessThan(200_000);
  });
});

describe("requests of both HTTP versions", () => {
  const addressOf: (request: ListenerRequest) => string = createClientAddress(["127.0.0.1"]);
  const headers = { "x-forwarded-for": ["203.0.113.1", "192.0.2.1"], forwarded: "for=192.0.2.1" };

  it("reads HTTP/1.1", async () => {
    const server = createServer((req, res) => res.end(addressOf(req))).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const [res] = await once(request({ port, host: "127.0.0.1", headers, agent: false }).end(), "response");
    expect(String(await res.toArray())).toBe("192.0.2.1");
    server.close();
  });

  it("reads HTTP/2, and answers unknown once the connection is gone", async () => {
    const server = createHttp2Server().listen(0, "127.0.0.1");
    await once(server, "listening");
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = session.request({ ":path": "/", ...headers });
    const [[req, res], [serverSession]] = await Promise.all([once(server, "request"), once(server, "session")]);
    expect(addressOf(req)).toBe("192.0.2.1");
    const closed = Promise.all([once(serverSession, "close"), once(stream, "close")]);
    res.end();
    session.destroy();
    await closed;
    expect(addressOf(req)).toBe("unknown");
    server.close();
  });
});

describe("parseTrustedProxy", () => {
  it.each([
    ["10.0.0.1", { address: "10.0.0.1", family: "ipv4", prefix: 32 }],
    ["10.0.0.0/8", { address: "10.0.0.0", family: "ipv4", prefix: 8 }],
    ["0.0.0.0/0", { address: "0.0.0.0", family: "ipv4", prefix: 0 }],
    ["2001:DB8::1", { address: "2001:db8::1", family: "ipv6", prefix: 128 }],
    ["2001:db8::/32", { address: "2001:db8::", family: "ipv6", prefix: 32 }],
    ["::/0", { address: "::", family: "ipv6", prefix: 0 }],
    ["::ffff:10.0.0.1", { address: "10.0.0.1", family: "ipv4", prefix: 32 }],
    ["::ffff:10.0.0.0/104", { address: "10.0.0.0", family: "ipv4", prefix: 8 }],
  ])("reads %s", (text, wanted) => {
    expect(parseTrustedProxy(text)).toEqual(wanted);
  });

  it.each([
    "",
    " 10.0.0.1",
    "10.0.0.1 ",
    "10.0.0.1\n",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "10.0.0.0/255.0.0.0",
    "10.0.0.*",
    "[2001:db8::1]",
    "fe80::1%eth0",
    "2001:db8:::1",
    "localhost",
    "10.0.0.1,10.0.0.2",
  ])("refuses %j", (text) => {
    const problem = `"${text}" is neither an IP address nor a range such as 10.0.0.0/8 or 2001:db8::/32.`;
    expect(() => parseTrustedProxy(text)).toThrow(new Error(problem));
    expect(() => createClientAddress([proxy, text])).toThrow(new Error(problem));
  });

  it.each([
    ["10.0.0.0/33", "0 to 32"],
    ["10.0.0.0/999", "0 to 32"],
    ["2001:db8::/129", "0 to 128"],
    ["::ffff:10.0.0.0/95", "96 to 128"],
    ["::ffff:10.0.0.0/129", "96 to 128"],
  ])("refuses the prefix of %s", (text, bounds) => {
    expect(() => parseTrustedProxy(text)).toThrow(new Error(`The range "${text}" needs a prefix of ${bounds} bits.`));
  });
});

describe("canonicalAddress", () => {
  it.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::FFFF:C000:0201", "192.0.2.1"],
    ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"],
    ["2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["::", "::"],
    ["fe80::1%eth0", "fe80::1"],
    ["192.0.2.1%eth0", undefined],
    ["192.0.2.1.", undefined],
    ["issuer.example", undefined],
    ["", undefined],
  ])("of %j is %j", (text, wanted) => {
    expect(canonicalAddress(text)).toBe(wanted);
  });

  it("of an IPv6 address whose last groups look mapped stays IPv6", () => {
    expect(canonicalAddress("::1:ffff:192.0.2.1")).toBe("::1:ffff:c000:201");
  });
});
