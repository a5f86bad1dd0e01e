import { adminTokenVariables } from "../config.ts";
import { connectionVariables } from "./policy/options.ts";
import { serverSettings } from "./settings.ts";

const prefix = "PORTCULLIS_";

/** The variables that the server and commands read. */
const known: readonly string[] = [
  ...serverSettings.flatMap(({ env }) => (env === undefined ? [] : [env])),
  ...Object.values(adminTokenVariables),
  ...Object.values(connectionVariables),
];

/**
 * The variables that Kubernetes sets in every pod for a service with a name that begins with `portcullis`, such as
 * PORTCULLIS_PORT and PORTCULLIS_PORT_8080_TCP_ADDR.
 */
const ofKubernetes = /_(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$/;

/** Warnings about variables that are probably misspelt settings. They never contain a value, which may be a secret. */
export function misspeltVariables(environment: NodeJS.ProcessEnv): readonly string[] {
  return Object.keys(environment).flatMap((name) => {
    if (!name.startsWith(prefix) || known.includes(name) || ofKubernetes.test(name)) return [];
    const nearest = nearestOf(name);
    return nearest === undefined ? [] : [`${name} is not a setting and is ignored: did you mean ${nearest}?`];
  });
}

/** The known variable with the fewest different letters; undefined if none is similar. */
function nearestOf(name: string): string | undefined {
  let nearest: { readonly name: string; readonly edits: number } | undefined;
  for (const candidate of known) {
    const edits = editsBetween(name.slice(prefix.length), candidate.slice(prefix.length));
    if (edits <= mostEdits(candidate) && edits < (nearest?.edits ?? Number.POSITIVE_INFINITY)) {
      nearest = { name: candidate, edits };
    }
  }
  return nearest?.name;
}

/** A short name easily resembles a word with another meaning. */
function mostEdits(candidate: string): number {
  const letters = candidate.length - prefix.length;
  if (letters <= 5) return 1;
  return letters < 12 ? 2 : 3;
}

/** The Damerau–Levenshtein distance. */
function editsBetween(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= one.length; row += 1) {
    const [above, twoAbove] = [rows[row - 1] as number[], rows[row - 2]];
    const edits = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const replaced = one[row - 1] === other[column - 1] ? 0 : 1;
      const swapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      edits[column] = Math.min(
        (above[column] ?? 0) + 1,
        (edits[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + replaced,
        swapped && twoAbove ? (twoAbove[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    rows.push(edits);
  }
  return rows.at(-1)?.at(-1) ?? 0;
}
