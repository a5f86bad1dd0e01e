import { type DescField, fromJson, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { PathBinding } from "../call.ts";
import type { Route } from "./route-table.ts";

/**
 * What sets the path's values on a message of the route's RPC. It throws a ConnectError (invalid_argument) that names the
 * field whose value does not fit.
 */
export function bindPath({ rpc, pathFields }: Route, pathValues: readonly string[]): PathBinding {
  const { input } = rpc.spec.method;
  return (message) => {
    const target = reflect(input, message);
    pathFields.forEach((field, index) => {
      const text = pathValues[index] as string;
      try {
        const parsed = fromJson(input, { [field.name]: toJsonValue(field, text) });
        target.set(field, reflect(input, parsed).get(field));
      } catch (cause) {
        throw mismatch(field, text, cause);
      }
    });
  };
}

/** Puts a path value into the JSON form of its field, so that protobuf's own rules say whether it fits. */
function toJsonValue(field: DescField, text: string): JsonValue {
  if (field.fieldKind === "enum") return /^-?[0-9]+$/.test(text) ? Number(text) : text;
  if (isInteger(field.scalar) && !/^-?\d+$/.test(text)) throw new Error("not a decimal integer");
  if (field.scalar === ScalarType.BOOL) return text === "true" ? true : text === "false" ? false : text;
  if (field.scalar === ScalarType.STRING && text.includes("\0")) throw new Error("a NUL character");
  return text;
}

function isInteger(type: ScalarType | undefined): boolean {
  const others: (ScalarType | undefined)[] = [
    ScalarType.BOOL,
    ScalarType.BYTES,
    ScalarType.DOUBLE,
    ScalarType.FLOAT,
    ScalarType.STRING,
  ];
  return !others.includes(type);
}

function mismatch(field: DescField, text: string, cause: unknown): ConnectError {
  const description = `${text} is not valid`;
  return new ConnectError(
    `type mismatch, parameter: ${field.name}, error: ${description}`,
    Code.InvalidArgument,
    undefined,
    [{ desc: BadRequestSchema, value: { fieldViolations: [{ field: field.name, description }] } }],
    cause,
  );
}
