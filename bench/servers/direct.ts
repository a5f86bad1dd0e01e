// An RPC that does nothing, on the direct path: the request is decoded and the answer encoded, and nobody asks who calls.
import { fromBinary } from "@bufbuild/protobuf";
import { createDispatch, createRpcTable, openListener } from "@portcullis/rpc";
import { ListLoginPolicySecondFactorsResponseSchema, ManagementService } from "../../gen/zitadel/management_pb.ts";
import { announce, readAnswers } from "./answer.ts";

const [framed] = readAnswers().values();
if (framed === undefined) throw new Error("there is nothing to answer");
const answer = fromBinary(ListLoginPolicySecondFactorsResponseSchema, framed.body.subarray(5));
const rpcs = createRpcTable((router) => {
  router.service(ManagementService, { listLoginPolicySecondFactors: () => answer });
});
const limits = JSON.parse(process.argv[3] ?? "{}");
const { port } = await openListener({ host: "127.0.0.1", port: 0, handler: createDispatch(rpcs), limits });
announce(port);
