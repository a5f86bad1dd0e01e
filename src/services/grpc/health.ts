import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  type HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../../gen/grpc/health/v1/health_pb.ts";
import type { Readiness } from "../../process/readiness.ts";

export interface HealthOptions {
  readonly readiness: Readiness;
  /** Full names of the services that are known, besides the server as a whole. All are as ready as it is. */
  readonly serviceNames: readonly string[];
  /** Aborted when the server closes: a watch would keep its connection for as long as the server lets it. */
  readonly closing: AbortSignal;
}

/** `grpc.health.v1.Health`: whether the server should be sent calls. */
export function createHealthService({ readiness, serviceNames, closing }: HealthOptions): ServiceImpl<typeof Health> {
  const names = new Set(["", ...serviceNames]);
  const current = () => (readiness.isReady && !closing.aborted ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);

  return {
    check({ service }) {
      if (!names.has(service)) throw new ConnectError("the server has no such service", Code.NotFound);
      return { status: current() };
    },

    list() {
      const status = current();
      return { statuses: Object.fromEntries([...names].map((name) => [name, { status }])) };
    },

    /**
     * Tells the latest status: of changes that come faster than the client reads, those in between are left out. When the
     * server closes, the last status is NOT_SERVING and then the call ends with UNAVAILABLE. By the protocol, clients watch
     * again, elsewhere, after every end but UNIMPLEMENTED; grpc-go, grpc-java and the C++ core take that one alone for
     * "healthy, and do not ask again". OK would do too, but to people and logs it says that all was told.
     */
    async *watch({ service }, { signal }): AsyncGenerator<MessageInitShape<typeof HealthCheckResponseSchema>> {
      let wake = () => {};
      const stir = () => wake();
      const stopListening = readiness.onChange(stir);
      signal.addEventListener("abort", stir);
      closing.addEventListener("abort", stir);
      try {
        let told: ServingStatus | undefined;
        while (!signal.aborted) {
          const status = names.has(service) ? current() : ServingStatus.SERVICE_UNKNOWN;
          if (status !== told) {
            told = status;
            yield { status };
            // It may have changed while the client read.
            continue;
          }
          if (closing.aborted) throw new ConnectError("the server is shutting down", Code.Unavailable);
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        stopListening();
        signal.removeEventListener("abort", stir);
        closing.removeEventListener("abort", stir);
      }
    },
  };
}
