import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  type HealthCheckResponseSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../gen/grpc/health/v1/health_pb.ts";

/** Whether the server should be sent calls. */
export interface Readiness {
  readonly isReady: boolean;
  /** Calls back at each change, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

export interface HealthOptions {
  readonly readiness: Readiness;
  /** Full names of the services that can be asked about, besides the server as a whole. All are as ready as the server. */
  readonly serviceNames: readonly string[];
  /** Aborted when the server closes, which ends the watches: a drain would wait for them. */
  readonly closing: AbortSignal;
}

/** Implements `grpc.health.v1.Health`: whether the server should be sent calls. */
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
     * Sends the latest status: where changes come faster than the client reads, it skips those in between. When the server
     * closes, the watch sends NOT_SERVING and ends with UNAVAILABLE. By the protocol, clients watch again, on another
     * connection, after every end but UNIMPLEMENTED, which grpc-go, grpc-java and the C++ core read as "healthy, do not ask
     * again". OK would do too, but to people and logs it means that nothing is missing.
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
