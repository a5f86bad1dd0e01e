import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

/** The part of a request that says where it comes from. Requests of both HTTP versions fit. */
export interface AddressedRequest {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: { readonly [name: string]: string | readonly string[] | undefined };
}

/** A proxy that is trusted to name its client: one address, or the range of addresses that share the first `prefix` bits. */
export interface TrustedProxy {
  readonly address: string;
  readonly family: "ipv4" | "ipv6";
  readonly prefix: number;
}

// Long chains have five hops. Anything beyond these bounds was written by the client.
const maxHeaderCharacters = 4 * 1024;
const maxHops = 50;

/**
 * Creates a function that finds the address of a request's client. It returns IPv4 in dotted form (also when it arrives mapped into
 * IPv6), IPv6 in the short form of RFC 5952 without a zone, or `unknown` when the socket is already closed.
 *
 * The client is the peer, unless the peer is a trusted proxy. Then the function reads `X-Forwarded-For` or `Forwarded` (RFC 7239)
 * from its end, where the nearest proxy wrote. The first address that is not trusted is the client. A hop without an address
 * (`unknown`, an obfuscated name, anything else) ends the walk, and the last address before it is the client: anything further could
 * be forged. The walk also ends after 50 hops or 4 KiB.
 *
 * When both headers are present and name different clients, the answer is the peer: a proxy sets one header and forwards the other,
 * and the function cannot know which. Do not trust a proxy that sets neither: it forwards whatever the client claims.
 *
 * Throws the Error of `parseTrustedProxy` for a text that it refuses.
 */
export function createClientAddress(trustedProxies: readonly string[]): (request: AddressedRequest) => string {
  // One list for each family: in a shared list, a wide IPv6 range such as ::/1 also matches every IPv4 address.
  const trusted = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { address, prefix, family } of trustedProxies.map(parseTrustedProxy)) {
    trusted[family].addSubnet(address, prefix, family);
  }
  const isTrusted = (address: string) => {
    const family = isIPv4(address) ? "ipv4" : "ipv6";
    return trusted[family].check(address, family);
  };

  function walk(peer: string, hops: Iterable<string | undefined>): string {
    let nearest = peer;
    for (const hop of hops) {
      if (hop === undefined) break;
      nearest = hop;
      if (!isTrusted(hop)) break;
    }
    return nearest;
  }

  return ({ socket, headers }) => {
    const peer = canonicalAddress(socket.remoteAddress ?? "");
    if (peer === undefined) return "unknown";
    if (!isTrusted(peer)) return peer;
    const listed = textOf(headers["x-forwarded-for"]);
    const forwarded = textOf(headers["forwarded"]);
    const byList = listed === undefined ? undefined : walk(peer, listedHops(listed));
    const byForwarded = forwarded === undefined ? undefined : walk(peer, forwardedHops(forwarded));
    const client = byList ?? byForwarded ?? peer;
    return byForwarded === undefined || byForwarded === client ? client : peer;
  };
}

/** Reads an address (`10.0.0.1`, `2001:db8::1`) or a range (`10.0.0.0/8`, `2001:db8::/32`). Throws an Error for anything else. */
export function parseTrustedProxy(text: string): TrustedProxy {
  const [, ip = "", bits] = /^([0-9A-Fa-f:.]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const address = canonicalAddress(ip);
  if (address === undefined) {
    throw new Error(`"${text}" is neither an IP address nor a range such as 10.0.0.0/8 or 2001:db8::/32.`);
  }
  const isMapped = isIPv4(address) && !isIPv4(ip);
  const width = isIPv4(ip) ? 32 : 128;
  // A mapped address is compared as the IPv4 address that it stands for.
  const prefix = (bits === undefined ? width : Number(bits)) - (isMapped ? 96 : 0);
  const max = isIPv4(address) ? 32 : 128;
  if (prefix < 0 || prefix > max) {
    throw new Error(`The range "${text}" needs a prefix of ${width - max} to ${width} bits.`);
  }
  return { address, family: isIPv4(address) ? "ipv4" : "ipv6", prefix };
}

/** The canonical form of an IP address, or undefined for other text. Mapped IPv4 becomes IPv4, and a zone is dropped. */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return undefined;
  const { address } = new SocketAddress({ address: text, family: "ipv6" });
  const mapped = address.replace(/^::ffff:/, "");
  return isIPv4(mapped) ? mapped : address;
}

/** The last 4 KiB of a header's text; undefined when the header is absent or blank. */
function textOf(header: string | readonly string[] | undefined): string | undefined {
  const text = typeof header === "string" ? header : (header ?? []).join(",");
  if (text.trim() === "") return undefined;
  if (text.length <= maxHeaderCharacters) return text;
  const end = text.slice(-maxHeaderCharacters);
  // From the first comma: half an address may look like another address.
  const comma = end.indexOf(",");
  return comma === -1 ? "," : end.slice(comma);
}

/** The parts between commas, last first. */
const partsOf = (text: string): readonly string[] => text.split(",").slice(-maxHops).reverse();

/** The hops of an `X-Forwarded-For`, nearest first; undefined for a hop without an address. */
function* listedHops(text: string): Iterable<string | undefined> {
  for (const part of partsOf(text)) yield addressOf(part.trim());
}

/** The hops of a `Forwarded`, nearest first; undefined for a hop without an address. */
function* forwardedHops(text: string): Iterable<string | undefined> {
  // Also from the end: an unclosed quote at the front, written by the client, would swallow the proxy's element. The shortest
  // well-formed end is the proxy's element: an end that starts inside a quoted string has one quote too many.
  let element: string | undefined;
  for (const part of partsOf(text)) {
    element = element === undefined ? part : `${part},${element}`;
    const pairs = pairsOf(element.trim());
    if (pairs === undefined) continue;
    element = undefined;
    yield addressOf(pairs.get("for") ?? "");
  }
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/.source;
const pairPattern = new RegExp(`[ \\t]*(${token})=(?:(${token})|"((?:[^"\\\\]|\\\\.)*)")[ \\t]*(?:;|$)`, "gy");

/** The pairs of one element of a `Forwarded`, names in lower case; undefined when it is malformed or repeats a name. */
function pairsOf(element: string): ReadonlyMap<string, string> | undefined {
  const pairs = new Map<string, string>();
  let end = 0;
  for (const match of element.matchAll(pairPattern)) {
    const name = match[1]?.toLowerCase() ?? "";
    if (pairs.has(name)) return undefined;
    pairs.set(name, match[2] ?? match[3]?.replace(/\\(.)/g, "$1") ?? "");
    end = match.index + match[0].length;
  }
  return end > 0 && end === element.length ? pairs : undefined;
}

/** The address of a hop. The hop may have a port; IPv6 is then in brackets. */
function addressOf(hop: string): string | undefined {
  const [, inBrackets, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::(?:\d{1,5}|_[\w.-]+))?$/.exec(hop) ?? [];
  if (inBrackets !== undefined) return isIPv6(inBrackets) ? canonicalAddress(inBrackets) : undefined;
  return canonicalAddress(plain ?? hop);
}
