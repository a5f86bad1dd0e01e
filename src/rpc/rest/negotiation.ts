import { Code, ConnectError } from "@connectrpc/connect";
import { HttpRefusalError } from "./status.ts";

/** One choice of a header such as `Accept: text/html;q=0.8`. */
interface Choice {
  readonly name: string;
  readonly q: number;
}

/** The choices of a header, parameters other than `q` left out. An invalid weight counts as 0. */
function parseChoices(header: string): readonly Choice[] {
  return header
    .split(",")
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== "")
    .map((part) => {
      const [name = "", ...parameters] = part.split(";").map((piece) => piece.trim());
      const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
      const q = weight === undefined ? 1 : /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(weight) ? Number(weight) : 0;
      return { name, q };
    });
}

/**
 * The first of the media types that `Accept` prefers (RFC 9110, 12.5.1); undefined where it takes none of them. Without the
 * header every type is taken.
 */
export function chooseMediaType(accept: string | undefined, available: readonly string[]): string | undefined {
  const choices = accept === undefined ? [] : parseChoices(accept);
  if (choices.length === 0) return available[0];
  const weightOf = (type: string): number => {
    const [main = ""] = type.split("/");
    // The most specific range counts, wherever it stands.
    for (const range of [type, `${main}/*`, "*/*"]) {
      const found = choices.find(({ name }) => name === range);
      if (found !== undefined) return found.q;
    }
    return 0;
  };
  return best(available, weightOf);
}

/** The media type to answer with. Throws a 406 that names the available ones. */
export function requireAcceptable(accept: string | undefined, available: readonly string[]): string {
  const chosen = chooseMediaType(accept, available);
  if (chosen !== undefined) return chosen;
  throw new HttpRefusalError({
    error: new ConnectError(`the answer comes as ${available.join(" or ")}: accept it`, Code.InvalidArgument),
    status: 406,
  });
}

/** The content coding to answer with (RFC 9110, 12.5.3): `identity` unless one of the available ones is wanted as much. */
export function chooseEncoding(acceptEncoding: string | undefined, available: readonly string[]): string {
  if (acceptEncoding === undefined) return "identity";
  const choices = parseChoices(acceptEncoding);
  const weightOf = (coding: string): number =>
    (choices.find(({ name }) => name === coding) ?? choices.find(({ name }) => name === "*"))?.q ?? 0;
  return best([...available, "identity"], weightOf) ?? "identity";
}

function best(available: readonly string[], weightOf: (one: string) => number): string | undefined {
  const weighed = available.map((one) => ({ one, weight: weightOf(one) })).filter(({ weight }) => weight > 0);
  const top = Math.max(...weighed.map(({ weight }) => weight));
  return weighed.find(({ weight }) => weight === top)?.one;
}
