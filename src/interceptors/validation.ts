import { type DescField, type DescMessage, getOption, hasOption, type Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type FieldRules, rules } from "../../gen/validate/validate_pb.ts";

/**
 * A broken rule: the path of the field in wire names, the text of ZITADEL's generated validators, and a description that adds
 * the valid values.
 */
interface Violation {
  readonly field: string;
  readonly text: string;
  readonly description: string;
}

/**
 * Checks the request message of a unary call against the `validate.rules` of its fields. A violation ends the call with
 * invalid_argument and a `google.rpc.BadRequest`. Like ZITADEL, it reports only the first violation, without an id.
 */
export const validateRequest: Interceptor = (next) => (request) => {
  if (request.stream) return next(request);
  const violation = findViolation(request.method.input, request.message);
  if (violation === undefined) return next(request);
  const { field, text, description } = violation;
  throw new ConnectError(text, Code.InvalidArgument, undefined, [
    { desc: BadRequestSchema, value: { fieldViolations: [{ field, description }] } },
  ]);
};

/** The fields with rules, by message. Most messages have none. */
const checkedFields = new WeakMap<DescMessage, readonly DescField[]>();

function checkedFieldsOf(desc: DescMessage): readonly DescField[] {
  const known = checkedFields.get(desc);
  if (known !== undefined) return known;
  // Set before the recursion below: a message may contain itself.
  checkedFields.set(desc, desc.fields);
  const fields = desc.fields.filter(
    (field) =>
      hasOption(field, rules) ||
      (field.fieldKind === "message" &&
        (field.message.typeName === DurationSchema.typeName || checkedFieldsOf(field.message).length > 0)) ||
      (field.fieldKind === "list" && field.listKind === "message" && checkedFieldsOf(field.message).length > 0),
  );
  checkedFields.set(desc, fields);
  return fields;
}

function findViolation(desc: DescMessage, message: Message): Violation | undefined {
  const fields = checkedFieldsOf(desc);
  if (fields.length === 0) return undefined;
  const values = reflect(desc, message);
  for (const field of fields) {
    const prefix = `invalid ${goName(desc)}.${goFieldName(field)}`;
    if (hasOption(field, rules)) {
      const broken = breach(field, { value: values.get(field), rules: getOption(field, rules) });
      if (broken !== undefined) {
        const { reason, wanted } = broken;
        const description = wanted === undefined ? reason : `${reason}: send ${wanted}`;
        return { field: field.name, text: `${prefix}: ${reason}`, description };
      }
    }
    if (field.fieldKind === "message" && values.isSet(field)) {
      const { message } = values.get(field) as ReflectMessage;
      if (field.message.typeName === DurationSchema.typeName) {
        if (isDuration(message as Duration)) continue;
        return { field: field.name, text: `${prefix}: ${durationRule}`, description: durationRule };
      }
      const inner = findViolation(field.message, message);
      if (inner !== undefined) return embedded(inner, { field: field.name, prefix });
    }
    if (field.fieldKind === "list" && field.listKind === "message") {
      for (const [index, item] of [...values.get(field)].entries()) {
        const inner = findViolation(field.message, (item as ReflectMessage).message);
        if (inner === undefined) continue;
        return embedded(inner, { field: `${field.name}[${index}]`, prefix: `${prefix}[${index}]` });
      }
    }
  }
  return undefined;
}

/** A violation in a message, as one of the message that contains it. */
const embedded = (
  inner: Violation,
  { field, prefix }: { readonly field: string; readonly prefix: string },
): Violation => ({
  field: `${field}.${inner.field}`,
  text: `${prefix}: embedded message failed validation | caused by: ${inner.text}`,
  description: inner.description,
});

/** Why a value breaks the rules of its field, and the valid values of an enum; undefined for a valid value. */
function breach(
  field: DescField,
  checked: { readonly value: unknown; readonly rules: FieldRules },
): { readonly reason: string; readonly wanted?: string } | undefined {
  const rule = checked.rules.type;
  if (rule.case === "string" && field.fieldKind === "scalar") {
    const { minLen, maxLen } = rule.value;
    const length = [...(checked.value as string)].length;
    if (length >= Number(minLen) && length <= Number(maxLen)) return undefined;
    return { reason: `value length must be between ${minLen} and ${maxLen} runes, inclusive` };
  }
  if (rule.case === "enum" && field.fieldKind === "enum") {
    const { notIn, definedOnly } = rule.value;
    const value = checked.value as number;
    const allowed = field.enum.values.filter(({ number }) => !notIn.includes(number));
    const wanted = allowed.map(({ name }) => name).join(" or ");
    if (notIn.includes(value)) {
      const names = notIn.map((number) => field.enum.value[number]?.name ?? number);
      return { reason: `value must not be in list [${names.join(" ")}]`, wanted };
    }
    if (definedOnly && field.enum.value[value] === undefined) {
      return { reason: "value must be one of the defined enum values", wanted };
    }
  }
  return undefined;
}

const durationRule = "value must be a duration of at most 10,000 years, its seconds and nanos of one sign";

/** Whether a duration is within protobuf's range, which only the JSON form enforces by itself. */
function isDuration({ seconds, nanos }: Duration): boolean {
  if (seconds < -315_576_000_000n || seconds > 315_576_000_000n || Math.abs(nanos) > 999_999_999) return false;
  return seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0;
}

// ZITADEL's texts name messages and fields as its generated Go code does.
const goName = (desc: DescMessage): string => (desc.parent === undefined ? "" : `${goName(desc.parent)}_`) + desc.name;
const goFieldName = ({ name }: DescField): string =>
  name.replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
