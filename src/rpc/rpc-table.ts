import type { DescService } from "@bufbuild/protobuf";
import { createServiceImplSpec, type MethodImplSpec, type ServiceImpl } from "@connectrpc/connect";

/** One RPC with its implementation, as every protocol serves it. */
export interface Rpc {
  readonly spec: MethodImplSpec;
  /** `/package.Service/Method`: the request path of gRPC, gRPC-Web and Connect. */
  readonly path: string;
}

/** All RPCs of a server, by their path. */
export type RpcTable = ReadonlyMap<string, Rpc>;

/** Collects the implementations that a server offers. */
export interface Router {
  /**
   * Registers a service. An RPC that `implementation` leaves out is served as unimplemented. Throws an Error when the
   * service was registered before.
   */
  service<Service extends DescService>(service: Service, implementation: Partial<ServiceImpl<Service>>): void;
}

/** Runs the registrations and returns the table they made. */
export function createRpcTable(register: (router: Router) => void): RpcTable {
  const table = new Map<string, Rpc>();
  register({
    service(service, implementation) {
      const { methods } = createServiceImplSpec(service, implementation);
      for (const spec of Object.values(methods)) {
        const path = `/${service.typeName}/${spec.method.name}`;
        if (table.has(path)) throw new Error(`${service.typeName} is registered twice`);
        table.set(path, { spec, path });
      }
    },
  });
  return table;
}

/** The longest path that is looked at for names, in characters; real ones have less than half. */
const maxRpcPathLength = 256;

/** The names in a path of the form `/package.Service/Method`; undefined where no proto file could have them. */
export function readRpcPath(path: string): { readonly service: string; readonly method: string } | undefined {
  if (path.length > maxRpcPathLength) return undefined;
  const [, service, method] = /^\/([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\/([A-Za-z_]\w*)$/.exec(path) ?? [];
  return service === undefined || method === undefined ? undefined : { service, method };
}

/** Says which RPC is not served. It repeats only names from the path, which may hold anything. */
export function unknownRpcText(path: string, services: ReadonlySet<string>): string {
  const names = readRpcPath(path);
  if (names === undefined) return "no RPC is served at this path";
  const { service, method } = names;
  const reason = services.has(service) ? "the service has no such method here" : "the service is not served here";
  return `unknown method ${method} of service ${service}: ${reason}`;
}
