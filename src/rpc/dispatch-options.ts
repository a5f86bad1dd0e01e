import { createRegistry, type DescFile, type DescMethod, type Registry } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import type { Gate } from "./call/admit.ts";
import { CallerTurns } from "./call/caller-turns.ts";
import { type Observe, type OnFailure, toStandardError } from "./call/outcome.ts";
import type { PublicStreamOptions } from "./call/public-streams.ts";
import { aBoolean, aFunction, type Check, checkOptions, listOf } from "./check-options.ts";
import { file_google_rpc_error_details } from "./gen/google/rpc/error_details_pb.ts";
import type { RestOptions, RestSettings } from "./rest/options.ts";
import type { RpcTable } from "./rpc-table.ts";

/** All may be left out. */
export interface DispatchOptions extends Partial<RestOptions> {
  /** Default: none. Then only interceptors and implementations refuse calls. */
  readonly gate?: Gate;
  /** In order, the outermost first. Default: none. */
  readonly interceptors?: readonly Interceptor[];
  /**
   * The largest request message in bytes, after decompression, from 1 to 2^32 - 1. A larger one is refused before it is read
   * whole. Default 4 MiB (4 194 304), as in most implementations of gRPC.
   */
  readonly maxRequestBytes?: number;
  /**
   * Message types that `google.protobuf.Any` may hold, in requests and answers, beside those that always count: of the files of
   * the services, of all that these import, and google.rpc's error details.
   */
  readonly registry?: Registry;
  /**
   * Gets each failure that is a bug and that nothing else reports. The caller gets `internal`. Default: writes it to standard
   * error, with its stack.
   */
  readonly onFailure?: OnFailure;
  /**
   * Whether Connect's own handlers serve the unary calls of gRPC, gRPC-Web and Connect too, as they serve streams. Default false:
   * they take several times as long for the same answers.
   */
  readonly stockHandlers?: boolean;
  /** Which streams need no token, and bounds for them. Default: only the bounds of the listener apply. */
  readonly publicStreams?: PublicStreamOptions;
  /** Called for every request, and for its outcome: for metrics, traces and logs. */
  readonly observe?: Observe;
}

/** The options with their defaults. */
export type DispatchSettings = RestSettings & Pick<DispatchOptions, "stockHandlers" | "publicStreams" | "observe">;

const defaultMaxRequestBytes = 4 * 1024 * 1024;

/** Fills in the defaults. Throws a TypeError that says what is wrong where an option cannot be used, or is none. */
export function readOptions(rpcs: RpcTable, options: DispatchOptions): DispatchSettings {
  if (!(rpcs instanceof Map)) throw new TypeError("createDispatch takes a table that createRpcTable made");
  checkOptions("createDispatch", options, dispatchChecks);
  const {
    gate = admitAll,
    interceptors = [],
    maxRequestBytes = defaultMaxRequestBytes,
    onFailure = toStandardError,
  } = options;
  const registry = typesOf(rpcs, options.registry);
  const ignoreUnknown = decideOnce(rpcs, options.ignoreUnknown ?? false);
  return { ...options, gate, interceptors, maxRequestBytes, onFailure, registry, ignoreUnknown };
}

/** Asks the option once for each RPC. */
function decideOnce(
  rpcs: RpcTable,
  option: NonNullable<RestOptions["ignoreUnknown"]>,
): (method: DescMethod) => boolean {
  const methods = [...rpcs.values()].map(({ spec }) => spec.method);
  const chosen = new Set(methods.filter((method) => (typeof option === "boolean" ? option : option(method))));
  return (method) => chosen.has(method);
}

const admitAll: Gate = () => {};

/** A timer fires at once for more. */
const isBound = (value: unknown): boolean =>
  value === undefined || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0x7fff_ffff);

export const dispatchChecks: { readonly [Name in keyof DispatchOptions]-?: Check } = {
  gate: aFunction,
  interceptors: listOf("functions", aFunction.fits),
  maxRequestBytes: {
    wanted: "a whole number of bytes from 1 to 4294967295",
    fits: (value) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 0xffff_ffff,
  },
  registry: {
    wanted: "a registry, as createRegistry of @bufbuild/protobuf makes it",
    fits: (value) => (value as Partial<Registry> | null)?.kind === "registry",
  },
  ignoreUnknown: {
    wanted: "true, false or a function",
    fits: (value) => aBoolean.fits(value) || aFunction.fits(value),
  },
  etags: aBoolean,
  grpcMetadataHeaders: aBoolean,
  reservedPaths: listOf("paths that start with a slash", (path) => typeof path === "string" && path.startsWith("/")),
  onFailure: aFunction,
  stockHandlers: aBoolean,
  publicStreams: {
    wanted: "an object whose isPublic is a function, and whose bounds are whole numbers up to 2147483647",
    fits: (value) => {
      const { isPublic, mostOnConnection, most, maxAgeMs } = (value ?? {}) as Partial<PublicStreamOptions>;
      return typeof isPublic === "function" && [mostOnConnection, most, maxAgeMs].every(isBound);
    },
  },
  turns: { wanted: "a CallerTurns", fits: (value) => value instanceof CallerTurns },
  observe: aFunction,
};

/** What the services' files and all that these import define, error details, and what else is known. */
function typesOf(rpcs: RpcTable, more: Registry | undefined): Registry {
  const files = new Set<DescFile>();
  const add = (file: DescFile): void => {
    if (files.has(file)) return;
    files.add(file);
    for (const dependency of file.dependencies) add(dependency);
  };
  for (const { spec } of rpcs.values()) add(spec.method.parent.file);
  add(file_google_rpc_error_details);
  return createRegistry(...files, ...(more ? [more] : []));
}
