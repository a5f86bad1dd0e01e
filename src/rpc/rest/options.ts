import type { DescMethod, Registry } from "@bufbuild/protobuf";
import type { CallOptions } from "../call/admit.ts";
import type { OnFailure } from "../call/outcome.ts";

/** What all calls over REST share. */
export interface RestOptions extends CallOptions {
  /** The message types that `google.protobuf.Any` may hold, in requests and answers. */
  readonly registry: Registry;
  /**
   * Whether the codec ignores what no field takes: fields of a body, parameters of a query, and a body where the rule has none.
   * Default false: it is refused, because a misspelt name would be lost in silence. A function is asked once for each RPC, at start.
   */
  readonly ignoreUnknown?: boolean | ((method: DescMethod) => boolean);
  /**
   * Whether a request header `Grpc-Metadata-X` counts as `X`, as it does to grpc-gateway and the clients that were made for it.
   * Default false: a filter in front does not know the header by that name. Where both are sent with different values, the
   * answer is 400.
   */
  readonly grpcMetadataHeaders?: boolean;
  /** Paths that are served by others: a rule that has one of them is an error at start. */
  readonly reservedPaths?: readonly string[];
  /** Whether answers to GET carry an ETag and may be kept by the caller for comparison. Default false: `no-store`. */
  readonly etags?: boolean;
  /** Gets each failure that is a bug and that nothing else reports. The caller gets `internal`. */
  readonly onFailure: OnFailure;
}

/** The options as calls use them. */
export interface RestSettings extends Omit<RestOptions, "ignoreUnknown"> {
  ignoreUnknown(method: DescMethod): boolean;
}
