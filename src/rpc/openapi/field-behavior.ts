import type { DescField } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/** The numbers of the option `google.api.field_behavior`, a list of enum values, and of its value REQUIRED. */
const fieldBehavior = { option: 1052, required: 2 } as const;

/**
 * Whether the proto file says that a request must set a field: by `google.api.field_behavior`, or by `required` of proto2.
 * The option is read from the bytes of the descriptor, so that services without it need no generated code for it.
 */
export function isMarkedRequired({ presence, proto }: DescField): boolean {
  if (presence === FeatureSet_FieldPresence.LEGACY_REQUIRED) return true;
  return (proto.options?.$unknown ?? [])
    .filter(({ no }) => no === fieldBehavior.option)
    .flatMap(({ wireType, data }) => [
      ...(wireType === WireType.LengthDelimited ? new BinaryReader(data).bytes() : data),
    ])
    .includes(fieldBehavior.required);
}
