import { paths } from "../fixtures/server.ts";
import { defineCases } from "./define-cases.ts";

const framed = ["gRPC", "gRPC-Web", "Connect with proto", "Connect with JSON"];
const location = async () => "memory:";
const [direct, stock] = paths.map((path) => framed.map((protocol) => ({ protocol, ...path })));

defineCases([...(direct ?? []), { protocol: "REST", path: "only", stockHandlers: false }], { location });
// What Connect's handlers make of a protocol is the subject of both-paths.test.ts.
defineCases(stock ?? [], { location, isSampled: true });
