// Sends gRPC calls that differ from each other, which h2load cannot: to many organizations, at a steady rate, or writes. A process
// of its own that takes work from the one that started it.
import { type ClientHttp2Session, connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { AddSecondFactorToLoginPolicyRequestSchema } from "../gen/zitadel/management_pb.ts";
import { SecondFactorType } from "../gen/zitadel/policy_pb.ts";
import { rpcPath } from "./calls.ts";
import { percentile } from "./statistics.ts";
import { organizationId } from "./store-fixture.ts";

/** The calls of one kind. */
export interface Stream {
  /**
   * `write` adds a second factor to an organization that lacks it, and removes it from one that has it. `rest` is the policy over
   * REST, the others are gRPC.
   */
  readonly call: "get" | "list" | "write" | "rest";
  /** How many organizations the calls are spread over. */
  readonly organizations: number;
  /**
   * So many calls a second at random moments, whether those before are answered or not, or so many callers that each
   * wait for an answer before the next call.
   */
  readonly pace: { readonly perSecond: number } | { readonly callers: number };
}

export interface Work {
  readonly url: string;
  readonly token: string;
  readonly connections: number;
  readonly seconds: number;
  readonly streams: readonly Stream[];
}

export type Rpc = keyof typeof paths;

/**
 * What was measured of each RPC that was called. With a steady rate, times count from when the call was due, so they hold what
 * a slow answer did to the calls behind it; `lateP99Ms` is what the generator itself added.
 */
export type WorkResult = Partial<Record<Rpc, RpcResult>> & { readonly lateP99Ms: number };
export interface RpcResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const paths = {
  get: rpcPath("GetLoginPolicy"),
  list: rpcPath("ListLoginPolicySecondFactors"),
  add: rpcPath("AddSecondFactorToLoginPolicy"),
  remove: rpcPath("RemoveSecondFactorFromLoginPolicy"),
  rest: "/management/v1/policies/login",
};
const empty = Buffer.alloc(5);
const factor = frame(
  toBinary(
    AddSecondFactorToLoginPolicyRequestSchema,
    create(AddSecondFactorToLoginPolicyRequestSchema, { type: SecondFactorType.OTP_EMAIL }),
  ),
);
/** So long are times dropped: connections are new, and both sides still warm up. */
const warmUpMs = 300;
/** More calls without an answer than a server gathers that keeps up. */
const maxPending = 5000;

/** Which organizations of which server have the factor that is written, as it will be when all calls are answered. */
const added = new Set<string>();

function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

/** The same numbers between 0 and 1 for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Goes on from run to run: the same organizations again would be found in a cache. */
const choose = createRandom(0);

class Run {
  readonly #work: Work;
  readonly #sessions: readonly ClientHttp2Session[];
  readonly #times: Partial<Record<Rpc, number[]>> = {};
  readonly #late: number[] = [];
  readonly #started = performance.now();
  readonly #from: number;
  readonly #until: number;
  #sent = 0;
  #pending = 0;
  #failure: unknown;

  constructor(work: Work, sessions: readonly ClientHttp2Session[]) {
    this.#work = work;
    this.#sessions = sessions;
    this.#from = this.#started + warmUpMs;
    this.#until = this.#from + work.seconds * 1000;
  }

  async finish(): Promise<WorkResult> {
    await Promise.all(
      this.#work.streams.map((stream, index) => {
        const { pace } = stream;
        // Every run with the same rate meets the same moments.
        if ("perSecond" in pace) return this.#keepRate(stream, { ...pace, random: createRandom(index + 1) });
        const { callers } = pace;
        return Promise.all(
          Array.from({ length: callers }, (_, caller) => this.#keepCalling(stream, { caller, callers })),
        );
      }),
    );
    const result: WorkResult = { lateP99Ms: percentile(this.#late, 0.99) };
    for (const [rpc, times] of Object.entries(this.#times) as [Rpc, number[]][]) {
      const perSecond = times.length / this.#work.seconds;
      result[rpc] = { perSecond, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
    }
    return result;
  }

  /** A timer comes up to a millisecond late, so this one looks at the clock all the time. */
  async #keepRate(
    stream: Stream,
    { perSecond, random }: { readonly perSecond: number; readonly random: () => number },
  ): Promise<void> {
    const calls: Promise<void>[] = [];
    const meanMs = 1000 / perSecond;
    let due = this.#started;
    const sendDue = () => {
      for (const now = performance.now(); due <= now && due < this.#until; due -= Math.log(1 - random()) * meanMs) {
        const organization = calls.length % stream.organizations;
        this.#late.push(now - due);
        const call = this.#call({ rpc: this.#rpcOf(stream, organization), organization, due });
        calls.push(call.catch((error: unknown) => this.#fail(error)));
      }
      if (this.#pending > maxPending) this.#fail(new Error(`the server does not keep up with ${perSecond} a second`));
    };
    await new Promise<void>((resolve) => {
      const look = () => {
        sendDue();
        if (due < this.#until && this.#failure === undefined) setImmediate(look);
        else resolve();
      };
      look();
    });
    if (this.#failure === undefined) await Promise.all(calls);
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #keepCalling(
    stream: Stream,
    { caller, callers }: { readonly caller: number; readonly callers: number },
  ): Promise<void> {
    while (performance.now() < this.#until) {
      // Each caller has organizations of its own, so that no two write to one.
      const organization = caller + callers * Math.floor(choose() * Math.floor(stream.organizations / callers));
      await this.#call({ rpc: this.#rpcOf(stream, organization), organization, due: performance.now() });
      if (stream.call !== "write") continue;
      await this.#call({ rpc: this.#rpcOf(stream, organization), organization, due: performance.now() });
    }
  }

  #rpcOf({ call }: Stream, organization: number): Rpc {
    if (call !== "write") return call;
    const name = `${this.#work.url} ${organization}`;
    if (added.delete(name)) return "remove";
    added.add(name);
    return "add";
  }

  #call({ rpc, organization, due }: { readonly rpc: Rpc; readonly organization: number; readonly due: number }) {
    const session = this.#sessions[this.#sent++ % this.#sessions.length] as ClientHttp2Session;
    this.#pending++;
    return new Promise<void>((resolve, reject) => {
      const isRest = rpc === "rest";
      const stream = session.request({
        ":method": isRest ? "GET" : "POST",
        ":path": paths[rpc],
        ...(!isRest && { "content-type": "application/grpc", te: "trailers" }),
        authorization: `Bearer ${this.#work.token}`,
        "x-zitadel-orgid": organizationId(organization),
      });
      let status: unknown;
      let bytes = 0;
      const look = (received: { readonly "grpc-status"?: unknown; readonly ":status"?: unknown }) => {
        status = (isRest ? String(received[":status"]) : received["grpc-status"]) ?? status;
      };
      stream.on("response", look).on("trailers", look);
      stream.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      stream.on("error", reject);
      stream.on("end", () => {
        this.#pending--;
        const now = performance.now();
        if (status !== (isRest ? "200" : "0") || bytes <= 5) {
          return reject(new Error(`${rpc}: status ${status}, ${bytes} bytes`));
        }
        // biome-ignore lint/suspicious/noAssignInExpressions: a list is made with its first entry
        if (due >= this.#from && due < this.#until) (this.#times[rpc] ??= []).push(now - due);
        resolve();
      });
      if (isRest) stream.end();
      else stream.end(rpc === "get" || rpc === "list" ? empty : factor);
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
  }
}

async function run(work: Work): Promise<WorkResult> {
  const sessions = await Promise.all(
    Array.from({ length: work.connections }, async () => {
      const session = connect(work.url);
      await new Promise((resolve, reject) => session.once("connect", resolve).once("error", reject));
      return session;
    }),
  );
  globalThis.gc?.();
  try {
    return await new Run(work, sessions).finish();
  } finally {
    for (const session of sessions) session.close();
  }
}

process.on("message", (work: Work) => {
  run(work).then(
    (result) => process.send?.({ result }),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
