import { LRUCache } from "lru-cache";
import { canonicalAddress } from "../../telemetry/client-address.ts";
import { type Bucket, createBuckets, type Limit, maxKeys, type ThrottleClock } from "../rate-limits.ts";

/** The rate limits of client addresses. */
export interface AddressBuckets {
  /** The bucket of the address, then those of the networks around it. */
  of(address: string): readonly Bucket[];
  /** Whether the address is among the last 10,000 for which `makeFamiliar` was called. */
  isFamiliar(address: string): boolean;
  makeFamiliar(address: string): void;
}

/** The limits of a /56 and a /48, as multiples of the limit of one address. */
const timesOfWider = [2, 3];

/**
 * Buckets of IPv4 addresses and IPv6 networks. A customer gets at least a /64, and often a /56 or /48, so these have two and
 * three times the limit of a /64 instead of hundreds of limits. Familiar addresses count against separate buckets of the wider
 * networks, so that strangers in the same /48 do not use up their attempts.
 */
export function createAddressBuckets({ clock, ...limit }: Limit & { readonly clock: ThrottleClock }): AddressBuckets {
  const addresses = createBuckets(clock);
  // A separate cache, so that a flood of single addresses does not evict networks.
  const wider = createBuckets(clock);
  const familiar = new LRUCache<string, true>({ max: maxKeys });
  const limits = timesOfWider.map((times) => ({
    capacity: limit.capacity * times,
    refillMs: Math.ceil(limit.refillMs / times),
  }));

  return {
    of(address) {
      const [own, ...networks] = networksOf(address);
      const kind = familiar.get(own) === true ? "familiar" : "strange";
      const around = networks.map((network, i) => wider.at(`${kind} ${network}`, limits[i] ?? limit));
      return [addresses.at(own, limit), ...around];
    },
    isFamiliar: (address) => familiar.get(networksOf(address)[0]) === true,
    makeFamiliar: (address) => void familiar.set(networksOf(address)[0], true),
  };
}

/** The keys of an address: an IPv4 address itself; the /64, /56 and /48 of an IPv6 address; "unknown" for any other text. */
export function networksOf(address: string): readonly [own: string, ...wider: string[]] {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return ["unknown"];
  if (!canonical.includes(":")) return [canonical];
  const [left = "", right = ""] = canonical.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const after = right.split(":").filter((group) => group !== "");
  // An IPv4 address at the end stands for two groups, and makes one zero too many. Only the first four groups count.
  const zeros = Array<string>(8 - groups.length - after.length).fill("0");
  const all = [...groups, ...zeros, ...after];
  const digits = all
    .slice(0, 4)
    .map((group) => group.padStart(4, "0"))
    .join("");
  return [`${digits}/64`, `${digits.slice(0, 14)}/56`, `${digits.slice(0, 12)}/48`];
}
