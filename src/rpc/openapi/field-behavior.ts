import type { DescField } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

/** The option `google.api.field_behavior`, a list of its enum, and the value of it that says so. */
const fieldBehavior = { option: 1052, required: 2 } as const;

/**
 * Whether the proto file says that a request must set a field: by `google.api.field_behavior`, or by `required` of proto2.
 * The option is read as it stands in the descriptor, so that services which do not use it need not import it.
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
