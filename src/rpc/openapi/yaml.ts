import type { JsonValue } from "@bufbuild/protobuf";

/**
 * Writes a JSON value as YAML 1.2 in block style, with a line break at the end. A library for YAML is larger than the rest of
 * this package, and a document needs two rules of it: how blocks are indented, and that a text in JSON is one in YAML.
 */
export const toYaml = (value: JsonValue): string => `${linesOf(value).join("\n")}\n`;

function linesOf(value: JsonValue): string[] {
  if (!isBlock(value)) return [scalar(value)];
  if (Array.isArray(value)) return value.flatMap((item) => indent(linesOf(item), "- "));
  return Object.entries(value).flatMap(([key, inner]) =>
    isBlock(inner) ? [`${scalar(key)}:`, ...indent(linesOf(inner), "  ")] : [`${scalar(key)}: ${scalar(inner)}`],
  );
}

/** What takes lines of its own; an empty list or object is written as in JSON. */
const isBlock = (value: JsonValue): value is JsonValue[] | { [key: string]: JsonValue } =>
  typeof value === "object" && value !== null && Object.keys(value).length > 0;

const indent = (lines: readonly string[], first: string): string[] =>
  lines.map((line, index) => (index === 0 ? first : "  ") + line);

function scalar(value: JsonValue): string {
  if (typeof value === "string" && isPlain(value)) return value;
  // JSON leaves these as they are; to YAML they are line breaks, or not allowed.
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Whether a text may stand without quotes, in YAML 1.1 too, whose readers take more words for a boolean. */
const isPlain = (text: string): boolean =>
  /^[A-Za-z/](?:[\w.,;/{}()*$ -]*[\w./{})*])?$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text);
