import { type DescEnum, fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { ErrorDetailSchema } from "../../gen/zitadel/message_pb.ts";

/** The id in the first detail of the trailer `grpc-status-details-bin`, for clients that give away no more than its bytes. */
export function errorIdOf(status: Uint8Array | undefined): string | undefined {
  if (status === undefined) return undefined;
  const [detail] = fromBinary(StatusSchema, status).details;
  return detail && anyUnpack(detail, ErrorDetailSchema)?.id;
}

/** The values of an enum, which is `Value` in generated code, by their names in JSON. */
export function namesOf<Value extends number>(desc: DescEnum) {
  return {
    nameOf: (value: number): string => desc.value[value]?.name ?? `unknown value ${value}`,
    numberOf(name: string): Value {
      const value = desc.values.find((candidate) => candidate.name === name);
      if (value === undefined) throw new Error(`${desc.typeName} has no ${name}`);
      return value.number as Value;
    },
  };
}
