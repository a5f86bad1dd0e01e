import { LRUCache } from "lru-cache";
import { canonicalAddress } from "../../telemetry/client-address.ts";
import { type Bucket, createBuckets, type Limit, maxKeys, type ThrottleClock } from "../rate-limits.ts";

/** What attempts from an address count against. */
export interface AddressBuckets {
  /** The bucket of the address itself, then those of the networks around it. */
  of(address: string): readonly Bucket[];
  /** Whether `makeFamiliar` was called for the address lately: it is among the last 10 000 of them. */
  isFamiliar(address: string): boolean;
  makeFamiliar(address: string): void;
}

/** How many times the limit of one address the wider networks have, which hold many of them: /56 and /48. */
const timesOfWider = [2, 3];

/**
 * Buckets of IPv4 addresses, and of IPv6 networks: a /64 is the least that one customer gets, and a /56 or /48 what many get. Those
 * have twice and three times the limit of a /64, so that no customer has hundreds of limits.
 *
 * Familiar addresses have wider networks of their own, so that strangers in the same /48 do not use up what they need.
 */
export function createAddressBuckets({ clock, ...limit }: Limit & { readonly clock: ThrottleClock }): AddressBuckets {
  const addresses = createBuckets(clock);
  // Apart, so that a flood of addresses does not make the networks forgotten that it is from.
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

/** Under what an address is counted: IPv4 as it is; IPv6 by its /64, then its /56 and /48; whatever else as one address. */
export function networksOf(address: string): readonly [own: string, ...wider: string[]] {
  const canonical = canonicalAddress(address);
  if (canonical === undefined) return ["unknown"];
  if (!canonical.includes(":")) return [canonical];
  const [left = "", right = ""] = canonical.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const after = right.split(":").filter((group) => group !== "");
  // One too many where an IPv4 address at the end stands for two groups; that is so far behind that it does not show.
  const zeros = Array<string>(8 - groups.length - after.length).fill("0");
  const all = [...groups, ...zeros, ...after];
  const digits = all
    .slice(0, 4)
    .map((group) => group.padStart(4, "0"))
    .join("");
  return [`${digits}/64`, `${digits.slice(0, 14)}/56`, `${digits.slice(0, 12)}/48`];
}
