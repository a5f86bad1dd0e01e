import { describe, expect, it } from "vitest";
import { createRpcTable } from "../../../src/rpc/router.ts";
import { serviceOf } from "../../fixtures/builders.ts";

describe("createRpcTable", () => {
  const service = serviceOf({ name: "Get" }, { name: "Upload", clientStreaming: true });

  it("lists every RPC by its path, those without an implementation too", () => {
    const table = createRpcTable((router) => router.service(service, {}));
    expect([...table].map(([path, rpc]) => [path, rpc.path, rpc.spec.kind])).toEqual([
      ["/test.Things/Get", "/test.Things/Get", "unary"],
      ["/test.Things/Upload", "/test.Things/Upload", "client_streaming"],
    ]);
  });

  it("refuses a service twice", () => {
    expect(() =>
      createRpcTable((router) => {
        router.service(service, {});
        router.service(service, {});
      }),
    ).toThrow(new Error("test.Things is registered twice"));
  });
});
