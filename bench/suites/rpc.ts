import { call, list, listTargets, type Target } from "../calls.ts";
import type { Effort } from "../environment.ts";
import { type Contender, compete, figuresOf, requireH2load } from "../h2load.ts";
import { type Running, startPortcullis, startServer, temporaryDirectory } from "../processes.ts";
import { atLeast, atMost, type Report, type Row } from "../report.ts";
import type { FixedAnswer } from "../servers/answer.ts";
import { ratiosOf } from "../statistics.ts";
import { makeStore } from "../store-fixture.ts";

type Protocol = keyof ReturnType<typeof listTargets>;

/** List through the whole stack, beside servers that do less and one that does the same by other means. */
export async function measureRpc(effort: Effort): Promise<Report> {
  requireH2load();
  const directory = temporaryDirectory();
  const token = await makeStore(directory, 0);
  const ours = await startPortcullis(directory);
  // On the same file, because a list tells when its store was last written.
  const stock = await startServer(["bench/servers/stock.ts", directory]);
  const targets = listTargets(ours, token);
  const answers: Record<Protocol, Buffer> = {
    grpc: await call(targets.grpc),
    grpcWeb: await call(targets.grpcWeb),
    rest: await call(targets.rest),
  };
  checkList(answers.rest);

  const fixed = (path: string, type: string, body: Buffer): FixedAnswer => ({
    path,
    contentType: `application/${type}`,
    body: body.toString("base64"),
  });
  const start = (file: string, ...fixedAnswers: readonly FixedAnswer[]) =>
    startServer([`bench/servers/${file}`, JSON.stringify(fixedAnswers)]);
  const grpc = fixed(list.path, "grpc+proto", answers.grpc);
  const grpcWeb = fixed(list.path, "grpc-web+proto", answers.grpcWeb);
  const rest = fixed(list.route, "json", answers.rest);
  const http2 = await start("floor-http2.ts", grpc);
  const http1 = await start("floor-http.ts", rest, grpcWeb);
  const grpcJs = await start("grpc-js.ts", grpc);
  const fastify = await start("fastify.ts", rest);
  const direct = await start("direct.ts", grpc);

  const contender = (name: string, server: Running, protocol: Protocol): Contender => {
    const target: Target = listTargets(server, token)[protocol];
    return { name, target, answer: answers[protocol], load: "full" };
  };
  const contenders = {
    grpcFloor: contender("gRPC: bare node:http2 (floor)", http2, "grpc"),
    grpcJs: contender("gRPC: bare @grpc/grpc-js", grpcJs, "grpc"),
    grpcStock: contender("gRPC: stock connect-node with the same stack", stock, "grpc"),
    grpcNothing: contender("gRPC: an RPC that does nothing, on the direct path", direct, "grpc"),
    grpc: contender("gRPC: the whole stack", ours, "grpc"),
    restFloor: contender("REST: bare node:http (floor)", http1, "rest"),
    restFastify: contender("REST: bare fastify", fastify, "rest"),
    rest: contender("REST: the whole stack", ours, "rest"),
    webFloor: contender("gRPC-Web: bare node:http (floor)", http1, "grpcWeb"),
    web: contender("gRPC-Web: the whole stack", ours, "grpcWeb"),
    grpcFloorAlone: { ...contender("one gRPC call at a time: floor", http2, "grpc"), load: "alone" },
    grpcAlone: { ...contender("one gRPC call at a time: the whole stack", ours, "grpc"), load: "alone" },
    restFloorAlone: { ...contender("one REST call at a time: floor", http1, "rest"), load: "alone" },
    restAlone: { ...contender("one REST call at a time: the whole stack", ours, "rest"), load: "alone" },
  } as const satisfies Record<string, Contender>;
  const measured = await compete(contenders, effort);
  for (const server of [ours, stock, http2, http1, grpcJs, fastify, direct]) await server.stop();

  const ratio = (
    quantity: "perSecond" | "p50Us" | "p99Us",
    one: keyof typeof contenders,
    base: keyof typeof contenders,
  ) => ratiosOf(measured[one][quantity], measured[base][quantity]);
  const rows: Row[] = [
    {
      what: "gRPC List, whole stack / floor",
      ratios: ratio("perSecond", "grpc", "grpcFloor"),
      goal: atLeast(0.6, 0.7),
    },
    {
      what: "gRPC List, whole stack / bare grpc-js that does nothing",
      ratios: ratio("perSecond", "grpc", "grpcJs"),
      goal: atLeast(1.05, 1.2),
    },
    {
      what: "gRPC List, whole stack / stock connect-node with the same stack",
      ratios: ratio("perSecond", "grpc", "grpcStock"),
      goal: atLeast(4, 5),
    },
    {
      what: "gRPC that does nothing, direct path / floor",
      ratios: ratio("perSecond", "grpcNothing", "grpcFloor"),
      goal: atLeast(0.8, 0.9),
    },
    {
      what: "REST List, whole stack / bare fastify that does nothing",
      ratios: ratio("perSecond", "rest", "restFastify"),
      goal: atLeast(0.6, 0.75),
    },
    { what: "REST List, whole stack / floor", ratios: ratio("perSecond", "rest", "restFloor") },
    {
      what: "gRPC-Web List, whole stack / floor",
      ratios: ratio("perSecond", "web", "webFloor"),
      goal: atLeast(0.6, 0.7),
    },
    {
      what: "one gRPC call at a time, p50 / floor",
      ratios: ratio("p50Us", "grpcAlone", "grpcFloorAlone"),
      goal: atMost(1.3, 1.15),
    },
    {
      what: "one REST call at a time, p50 / floor",
      ratios: ratio("p50Us", "restAlone", "restFloorAlone"),
      goal: atMost(1.7, 1.4),
    },
    {
      what: "one gRPC call at a time, p99 / floor",
      ratios: ratio("p99Us", "grpcAlone", "grpcFloorAlone"),
      goal: atMost(2, 1.3),
    },
    {
      what: "one REST call at a time, p99 / floor",
      ratios: ratio("p99Us", "restAlone", "restFloorAlone"),
      goal: atMost(2, 1.3),
    },
  ];
  return { rows, figures: figuresOf(contenders, measured) };
}

/** The others are compared with this answer, so it is looked at by itself. */
function checkList(json: Buffer): void {
  const { result } = JSON.parse(json.toString()) as { readonly result?: readonly string[] };
  const wanted = "SECOND_FACTOR_TYPE_OTP,SECOND_FACTOR_TYPE_U2F";
  if (result?.join() !== wanted) throw new Error(`the list is not the instance's: ${json}`);
}
