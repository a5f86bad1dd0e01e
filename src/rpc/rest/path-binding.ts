import { type DescField, type Registry, toJsonString } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Route } from "./route-table.ts";
import { setByText } from "./text-value.ts";
import { conflict } from "./violations.ts";

/**
 * Sets the fields that the path holds, over whatever the body and the query have set. Throws a ConnectError,
 * invalid_argument, that names a field whose value does not fit, and, unless `overrides`, one that was set otherwise, or
 * beside which another member of its oneof was set.
 */
export function bindPath(
  message: ReflectMessage,
  { pathFields }: Route,
  {
    pathValues,
    overrides,
    registry,
  }: { readonly pathValues: readonly string[]; readonly overrides: boolean; readonly registry: Registry },
): void {
  for (const [index, fields] of pathFields.entries()) {
    const name = fields.map((field) => field.name).join(".");
    const before = overrides ? undefined : textOf(message, fields);
    setByText(message, { fields, texts: [pathValues[index] ?? ""], name, overrides, registry });
    if (before !== undefined && before !== textOf(message, fields)) {
      throw conflict(name, "the body has another value than the path");
    }
  }
}

/** The field's value in a comparable form; undefined where it is not set. */
function textOf(message: ReflectMessage, fields: readonly DescField[]): string | undefined {
  let target = message;
  for (const field of fields.slice(0, -1)) {
    if (!target.isSet(field)) return undefined;
    target = target.get(field) as ReflectMessage;
  }
  const field = fields.at(-1) as DescField;
  if (!target.isSet(field)) return undefined;
  const alone = reflect(target.desc);
  alone.set(field, target.get(field) as never);
  return toJsonString(target.desc, alone.message);
}
