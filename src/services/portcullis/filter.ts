import type { PolicyFilter } from "../../application/list-policies.ts";
import { invalidField } from "./errors.ts";

/**
 * Reads the filter of a list: one comparison, in the language of AIP-160. Throws invalid_argument for any other, because a
 * filter that is read in part would show what was not asked for.
 */
export function readFilter(filter: string): PolicyFilter {
  if (filter.trim() === "") return {};
  const origin = /^\s*origin\s*=\s*(?:"(OWN|INHERITED)"|(OWN|INHERITED))\s*$/.exec(filter);
  if (origin !== null) return { origin: (origin[1] ?? origin[2]) === "OWN" ? "own" : "inherited" };
  const name = /^\s*organization_display_name\s*:\s*("(?:[^"\\]|\\.)*\*")\s*$/.exec(filter);
  const text = name?.[1] && readText(name[1]);
  if (text !== undefined && !text.slice(0, -1).includes("*")) return { nameStartsWith: text.slice(0, -1) };
  const forms = 'origin = OWN, origin = INHERITED or organization_display_name : "text*"';
  throw invalidField("filter", `send ${forms}, or leave it out`, "FILTER_INVALID");
}

function readText(quoted: string): string | undefined {
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return undefined;
  }
}
