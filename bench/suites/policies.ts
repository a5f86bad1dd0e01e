import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { create, type DescMethodUnary, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import {
  ListLoginPoliciesResponseSchema,
  LoginPolicyService,
} from "../../gen/portcullis/v1/login_policy_service_pb.ts";
import { ManagementService } from "../../gen/zitadel/management_pb.ts";
import { SecondFactorType } from "../../gen/zitadel/policy_pb.ts";
import { openStore } from "../../src/store/open.ts";
import { organizationRef } from "../../src/store/store.ts";
import type { Effort } from "../environment.ts";
import { type Running, startPortcullis, temporaryDirectory } from "../processes.ts";
import { atLeast, atMost, type Figure, type Report, type Row } from "../report.ts";
import { median, ratiosOf } from "../statistics.ts";
import { makeStore, organizationId, storeLocation } from "../store-fixture.ts";
import { turnSeconds, turnsIn } from "../turns.ts";

const callers = 64;
/** The organizations of the callers, and the one with a long history. */
const organizations = 1000;
const historyEvents = 1000;
const pageSize = 500;
const longOne = organizationId(organizations - 1);

/** A call that is sent over and over, by gRPC. Each caller has an organization of its own, and alternates between the messages. */
interface Load {
  readonly path: string;
  message(organization: string, turn: number): Uint8Array;
}

function load<Method extends DescMethodUnary>(
  method: Method,
  message: (organization: string, turn: number) => MessageInitShape<Method["input"]>,
): Load {
  const path = `/${method.parent.typeName}/${method.name}`;
  return { path, message: (...given) => framed(toBinary(method.input, create(method.input, message(...given)))) };
}

function framed(bytes: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  frame.set(bytes, 5);
  return frame;
}

const nameOf = (organization: string) => `organizations/${organization}/loginPolicy`;
const ours = LoginPolicyService.method;
const v1 = ManagementService.method;
const evaluation = {
  user: { hasPassword: true, secondFactors: [SecondFactorType.OTP] },
  checks: [{ time: timestampNow(), kind: { case: "password" as const, value: {} } }],
  signInStartTime: timestampNow(),
};

const reads = {
  List: load(v1.listLoginPolicySecondFactors, () => ({})),
  GetLoginPolicy: load(ours.getLoginPolicy, (organization) => ({ name: nameOf(organization) })),
  EvaluateSignIn: load(ours.evaluateSignIn, (organization) => ({ name: nameOf(organization), ...evaluation })),
} as const;
const writes = {
  // Added and removed in turn: see `run`.
  "one factor": load(v1.addSecondFactorToLoginPolicy, () => ({ type: SecondFactorType.OTP_SMS })),
  // Each of five fields differs from the message before.
  "five changes": load(ours.updateLoginPolicy, (organization, turn) => ({
    loginPolicy: {
      name: nameOf(organization),
      forceMfa: turn % 2 === 0,
      hidePasswordReset: turn % 2 === 0,
      allowRegister: turn % 2 === 0,
      allowDomainDiscovery: turn % 2 === 0,
      defaultRedirectUri: turn % 2 === 0 ? "https://a.example" : "https://b.example",
    },
  })),
} as const;
const ofHistory = {
  List: reads.List,
  ExplainLoginPolicy: load(ours.explainLoginPolicy, () => ({ name: nameOf(longOne) })),
  "a page of 50 revisions": load(ours.listLoginPolicyRevisions, () => ({ parent: nameOf(longOne) })),
} as const;

/** portcullis.v1 beside ZITADEL's calls on one server, over gRPC. */
export async function measurePolicies({ rounds, seconds, organizations: many }: Effort): Promise<Report> {
  const directory = temporaryDirectory();
  const token = await makeStore(directory, organizations);
  await addHistory(directory);
  const server = await startPortcullis(directory);
  const bench = new Bench(server, token);
  const read = await bench.compare(reads, "List", { rounds, seconds });
  const written = await bench.compare(writes, "one factor", { rounds, seconds });
  const history = await bench.compare(ofHistory, "List", { rounds, seconds, alone: true });
  bench.close();
  await server.stop();

  const pages = await measurePages(many, rounds);
  const quotient = (measured: Measured, name: string, base: string, of: "rate" | "p50") =>
    ratiosOf(measured[name]?.[of] ?? [], measured[base]?.[of] ?? []);
  const rows: Row[] = [
    ...(["GetLoginPolicy", "EvaluateSignIn"] as const).map((name) => ({
      what: `${name} / List, calls a second of ${callers} callers`,
      ratios: quotient(read, name, "List", "rate"),
      goal: atLeast(0.6),
    })),
    {
      what: `UpdateLoginPolicy of five changes / a change of one factor by v1, calls a second of ${callers} callers`,
      ratios: quotient(written, "five changes", "one factor", "rate"),
      goal: atLeast(0.8),
    },
    ...(["ExplainLoginPolicy", "a page of 50 revisions"] as const).map((name) => ({
      what: `${name} / List, p50 of one caller, with ${historyEvents} events in the stream`,
      ratios: quotient(history, name, "List", "p50"),
      goal: atMost(5),
    })),
    ...(["middle", "last"] as const).map((name) => ({
      what: `ListLoginPolicies of ${many} organizations: a page of ${pageSize} in the ${name} tenth / in the first, p50`,
      ratios: ratiosOf(pages[name], pages.first),
      goal: atMost(1.2),
    })),
  ];
  const figures = [read, written, history].flatMap((measured) =>
    Object.entries(measured).flatMap(([name, { rate, cpu, p50 }]): Figure[] => [
      { what: `${name}, ${measured === history ? "one caller" : `${callers} callers`}`, unit: "calls/s", values: rate },
      { what: `${name}, CPU time of the server a call`, unit: "µs", values: cpu },
      { what: `${name}, p50`, unit: "µs", values: p50 },
    ]),
  );
  return {
    rows,
    figures: [...figures, { what: `a page of ${pageSize} in the first tenth`, unit: "ms", values: pages.first }],
  };
}

type Measured = Record<string, { readonly rate: number[]; readonly cpu: number[]; readonly p50: number[] }>;

class Bench {
  readonly #session: ClientHttp2Session;
  readonly #headers: Record<string, string>;
  readonly #pid: number;

  constructor({ url, pid }: Running, token: string) {
    this.#session = connect(url);
    this.#session.setMaxListeners(0);
    this.#pid = pid;
    this.#headers = {
      ":method": "POST",
      "content-type": "application/grpc",
      te: "trailers",
      authorization: `Bearer ${token}`,
    };
  }

  close(): void {
    this.#session.close();
  }

  /** Measures loads in turns, each round as often as fits. */
  async compare<Name extends string>(
    loads: Readonly<Record<Name, Load>>,
    first: Name,
    { rounds, seconds, alone = false }: { readonly rounds: number; readonly seconds: number; readonly alone?: boolean },
  ): Promise<Measured> {
    const names = [first, ...(Object.keys(loads) as Name[]).filter((name) => name !== first)];
    const measured: Measured = Object.fromEntries(names.map((name) => [name, { rate: [], cpu: [], p50: [] }]));
    for (let round = -1; round < rounds; round++) {
      const turns = names.map(() => [] as Awaited<ReturnType<Bench["run"]>>[]);
      for (let turn = 0; turn < turnsIn(seconds); turn++) {
        for (const [index, name] of names.entries())
          turns[index]?.push(await this.run(loads[name], alone ? 1 : callers));
      }
      // The round before the first warms up.
      if (round < 0) continue;
      for (const [index, name] of names.entries()) {
        for (const quantity of ["rate", "cpu", "p50"] as const) {
          measured[name]?.[quantity].push(median((turns[index] ?? []).map((result) => result[quantity])));
        }
      }
    }
    return measured;
  }

  /** One turn: calls that follow each other, of so many callers. */
  async run({ path, message }: Load, count: number) {
    const times: number[] = [];
    const [started, cpu] = [performance.now(), cpuOf(this.#pid)];
    const until = started + turnSeconds * 1000;
    await Promise.all(
      Array.from({ length: count }, async (_, caller) => {
        const organization = organizationId(caller);
        // An even number of calls, so that a factor that was added is removed again.
        for (let turn = 0; turn % 2 === 1 || performance.now() < until; turn += 1) {
          const begun = performance.now();
          const rpc = turn % 2 === 0 ? path : path.replace("AddSecondFactorTo", "RemoveSecondFactorFrom");
          await this.call(rpc, organization, message(organization, turn));
          times.push((performance.now() - begun) * 1000);
        }
      }),
    );
    const elapsed = (performance.now() - started) / 1000;
    return { rate: times.length / elapsed, cpu: (cpuOf(this.#pid) - cpu) / times.length, p50: median(times) };
  }

  /** Resolves to the answer's message. Rejects where it is no success. */
  call(path: string, organization: string, body: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ...this.#headers, ":path": path, "x-zitadel-orgid": organization });
      const chunks: Buffer[] = [];
      let status: unknown;
      const look = (received: { readonly "grpc-status"?: unknown; readonly "grpc-message"?: unknown }) => {
        status = received["grpc-status"] ?? status;
        if (received["grpc-message"]) status = `${String(status)}: ${String(received["grpc-message"])}`;
      };
      stream.on("response", look).on("trailers", look);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        if (status === "0") resolve(Buffer.concat(chunks).subarray(5));
        else reject(new Error(`${path}: grpc-status ${String(status)}`));
      });
      stream.end(body);
    });
  }
}

/** In microseconds. NaN where the system does not tell. */
function cpuOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
    // In ticks of 10 ms.
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  } catch {
    return Number.NaN;
  }
}

/** Pages of all organizations, one after the other. In milliseconds: the median of a tenth of the pages. */
async function measurePages(many: number, rounds: number) {
  const directory = temporaryDirectory();
  const token = await makeStore(directory, many);
  const server = await startPortcullis(directory);
  const bench = new Bench(server, token);
  const method = ours.listLoginPolicies;
  const path = `/${method.parent.typeName}/${method.name}`;
  const tenths = { first: [] as number[], middle: [] as number[], last: [] as number[] };
  for (let round = -1; round < Math.min(rounds, 3); round++) {
    const times: number[] = [];
    for (let pageToken = ""; ; ) {
      const request = create(method.input, { parent: "organizations/-", pageSize, pageToken });
      const begun = performance.now();
      const answer = await bench.call(path, "", framed(toBinary(method.input, request)));
      times.push(performance.now() - begun);
      pageToken = fromBinary(ListLoginPoliciesResponseSchema, answer).nextPageToken;
      if (pageToken === "") break;
    }
    // The last page is short.
    const whole = times.slice(0, -1);
    const tenth = Math.max(1, Math.floor(whole.length / 10));
    if (round < 0) continue;
    const half = Math.floor(whole.length / 2);
    tenths.first.push(median(whole.slice(0, tenth)));
    tenths.middle.push(median(whole.slice(half, half + tenth)));
    tenths.last.push(median(whole.slice(-tenth)));
  }
  bench.close();
  await server.stop();
  return tenths;
}

/** Adds the events of a long history to one organization. */
async function addHistory(directory: string): Promise<void> {
  const store = await openStore({ location: storeLocation(directory) });
  const ref = organizationRef(longOne);
  for (let count = 0; count < historyEvents; count++) {
    const type = count % 2 === 0 ? ("SecondFactorAdded" as const) : ("SecondFactorRemoved" as const);
    await store.execute({
      actor: "bench",
      reads: [ref],
      decide: () => ({
        changes: [{ ref, events: [{ type, version: 1, payload: { factor: "otp_email" } }] }],
        value: undefined,
      }),
    });
  }
  await store.close();
}
