import { ScalarType } from "@bufbuild/protobuf";

// The JSON forms of single values, as ProtoJSON has them (protobuf.dev/programming-guides/json). protobuf-es takes more, such
// as "0x10" for an integer and the 30th of February, and in places less. Each function returns undefined for other values.

/** The least and the greatest integer of each type. */
const ranges: ReadonlyMap<ScalarType, readonly [least: bigint, greatest: bigint]> = new Map([
  ...[ScalarType.INT32, ScalarType.SINT32, ScalarType.SFIXED32].map(
    (type) => [type, [-(2n ** 31n), 2n ** 31n - 1n]] as const,
  ),
  ...[ScalarType.UINT32, ScalarType.FIXED32].map((type) => [type, [0n, 2n ** 32n - 1n]] as const),
  ...[ScalarType.INT64, ScalarType.SINT64, ScalarType.SFIXED64].map(
    (type) => [type, [-(2n ** 63n), 2n ** 63n - 1n]] as const,
  ),
  ...[ScalarType.UINT64, ScalarType.FIXED64].map((type) => [type, [0n, 2n ** 64n - 1n]] as const),
]);

/** A value of a scalar type, in a form that protobuf-es takes. */
export function readScalar(type: ScalarType, json: unknown): string | number | boolean | undefined {
  switch (type) {
    case ScalarType.BOOL:
      return typeof json === "boolean" ? json : undefined;
    case ScalarType.STRING:
      return typeof json === "string" && json.isWellFormed() ? json : undefined;
    case ScalarType.BYTES:
      return typeof json === "string" && isBase64(json) ? json : undefined;
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return readFloat(type, json);
    default:
      return readInteger(type, json);
  }
}

/** In words, with an example. */
export function scalarForm(type: ScalarType): string {
  switch (type) {
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.STRING:
      return "a string";
    case ScalarType.BYTES:
      return 'bytes in base64, such as "aGVsbG8="';
    case ScalarType.FLOAT:
      return "a number of up to 3.4e38, such as 1.5";
    case ScalarType.DOUBLE:
      return "a number of up to 1.8e308, such as 1.5";
    default: {
      const [least, greatest] = ranges.get(type) ?? [];
      return `an integer from ${least} to ${greatest}`;
    }
  }
}

const numberForm = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,9})?$/;

function readFloat(type: ScalarType, json: unknown): string | number | undefined {
  if (json === "NaN" || json === "Infinity" || json === "-Infinity") return json;
  if (typeof json !== "number" && !(typeof json === "string" && numberForm.test(json))) return undefined;
  const value = type === ScalarType.FLOAT ? Math.fround(Number(json)) : Number(json);
  return Number.isFinite(value) ? json : undefined;
}

/** A number, or a text of one, which may have an exponent or zeros behind the point. Returns the digits of a text. */
function readInteger(type: ScalarType, json: unknown): string | number | undefined {
  const digits = typeof json === "number" && Number.isInteger(json) ? BigInt(json) : digitsOf(json);
  const [least, greatest] = ranges.get(type) ?? [];
  if (digits === undefined || least === undefined || greatest === undefined) return undefined;
  if (digits < least || digits > greatest) return undefined;
  return typeof json === "number" ? json : digits.toString();
}

/** No integer of 64 bits has more digits. */
const maxDigits = 20;

function digitsOf(json: unknown): bigint | undefined {
  if (typeof json !== "string" || !numberForm.test(json)) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE](.+))?$/.exec(json) ?? [];
  const digits = whole + fraction;
  let start = 0;
  while (digits[start] === "0") start += 1;
  let end = digits.length;
  while (end > start && digits[end - 1] === "0") end -= 1;
  if (start === end) return 0n;
  const significant = digits.slice(start, end);
  // How many digits are in front of the point. The exponent may be any, and must not make a text of its size.
  const length = whole.length - start + Number(exponent);
  if (length < significant.length || length > maxDigits) return undefined;
  return BigInt(sign + significant.padEnd(length, "0"));
}

/** Standard or URL-safe, padded or not. */
function isBase64(text: string): boolean {
  const bare = text.replace(/={1,2}$/, "");
  if (!/^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)$/.test(bare) || bare.length % 4 === 1) return false;
  return bare.length === text.length || text.length % 4 === 0;
}

/** Whether a text is a google.protobuf.Timestamp: RFC 3339, a day that there is, in the years 1 to 9999 of UTC. */
export function isTimestamp(text: string): boolean {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.exec(text);
  if (parts === null) return false;
  const [, date = "", time = "", zone = ""] = parts;
  const day = Date.parse(`${date}T00:00:00Z`);
  // JavaScript takes the 30th of February for the 2nd of March, and 24:00 for the next day.
  if (Number.isNaN(day) || !new Date(day).toISOString().startsWith(date) || time.startsWith("24")) return false;
  const at = Date.parse(`${date}T${time}${zone}`);
  return at >= Date.parse("0001-01-01T00:00:00Z") && at <= Date.parse("9999-12-31T23:59:59Z");
}

const maxSeconds = 315_576_000_000;

/** Whether a text is a google.protobuf.Duration: seconds with up to nine digits behind the point, of 10,000 years at most. */
export function isDuration(text: string): boolean {
  const [, seconds, nanos = "0"] = /^-?(\d+)(?:\.(\d{1,9}))?s$/.exec(text) ?? [];
  return seconds !== undefined && Number(seconds) + (Number(nanos) > 0 ? 1 : 0) <= maxSeconds;
}

/** Whether a text is a google.protobuf.FieldMask: names in JSON's form, and `*` for all fields. */
export const isFieldMask = (text: string): boolean =>
  text === "" ||
  text.split(",").every((path) => path.split(".").every((name) => /^(?:[A-Za-z][A-Za-z0-9]*|\*)$/.test(name)));
