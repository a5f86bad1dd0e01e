import { paths } from "../fixtures/server.ts";
import { defineCases } from "./define-cases.ts";

const framed = ["gRPC", "gRPC-Web", "Connect with proto", "Connect with JSON"];

// Each protocol on each path that it can take.
defineCases(
  [
    ...paths.flatMap((path) => framed.map((protocol) => ({ protocol, ...path }))),
    { protocol: "REST", path: "only", stockHandlers: false },
  ],
  async () => "memory:",
);
