import { describe, expect, it } from "vitest";
import { createRpcTable, unknownRpcText } from "../../../src/rpc/rpc-table.ts";
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

describe("unknownRpcText", () => {
  const services = new Set(["library.v1.LibraryService"]);

  it.each([
    [
      "/zitadel.org.v2.OrganizationService/AddOrganization",
      "unknown method AddOrganization of service zitadel.org.v2.OrganizationService: the service is not served here",
    ],
    [
      "/library.v1.LibraryService/Burn",
      "unknown method Burn of service library.v1.LibraryService: the service has no such method here",
    ],
    ["/Service/Call", "unknown method Call of service Service: the service is not served here"],
  ])("names what %s is for", (path, text) => {
    expect(unknownRpcText(path, services)).toBe(text);
  });

  it.each([
    "/",
    "*",
    "",
    "/a",
    "/a/b/c",
    "/a/b/",
    "//b",
    "/a./b",
    "/.a/b",
    "/a..b/c",
    "/1a/b",
    "/a/1b",
    "/a-b/c",
    "/a/b%20c",
    "/a/b\n",
    "/a/b?c=d",
    "/\u00e4/b",
    "/a.b/<script>",
    `/a/${"b".repeat(254)}`,
    `/${"a.".repeat(100_000)}a/b`,
  ])("repeats nothing of %j", (path) => {
    expect(unknownRpcText(path, services)).toBe("no RPC is served at this path");
  });

  it("repeats names as long as any that there are", () => {
    expect(unknownRpcText(`/a/${"b".repeat(253)}`, services)).toContain("bbb of service a");
  });
});
