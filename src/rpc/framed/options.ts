import type { JsonReadOptions, JsonWriteOptions } from "@bufbuild/protobuf";
import type { CallOptions } from "../call/admit.ts";
import type { OnFailure } from "../call/outcome.ts";

/** What all calls of gRPC, gRPC-Web and Connect share. */
export interface FramedOptions extends CallOptions {
  readonly jsonOptions: Partial<JsonReadOptions & JsonWriteOptions>;
  /** Gets each failure that is a bug and that nothing else reports. The caller gets `internal`. */
  readonly onFailure: OnFailure;
}
