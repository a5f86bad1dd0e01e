import { randomInt } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { createDirectory } from "../../src/application/directory.ts";
import { createIdSource } from "../../src/application/ids.ts";
import { openStore } from "../../src/store/open.ts";
import { secondFactorsPath, sequenceOf } from "../process/api.ts";
import { createRandom } from "../process/random.ts";
import type { Answer, Call, Model, Operation } from "./checker.ts";
import type { Node, Nodes } from "./nodes.ts";

export const model: Model = { inherited: ["OTP", "U2F"], initial: { sequence: 1, own: undefined } };
const factors = ["OTP", "U2F", "OTP_EMAIL", "OTP_SMS"];

/** Longer than a node takes to find out what became of a commit. */
const clientTimeoutMs = 30_000;
/** A cluster that is not back by then will not be. */
const patienceMs = 60_000;

/** Which node was asked. */
export interface AskedOperation extends Operation {
  readonly node: number;
}

export interface WorkloadOptions {
  readonly nodes: Pick<Nodes, "all" | "token">;
  readonly organizations: readonly string[];
  readonly clientsEach: number;
  readonly seed?: number;
}

/** Adds organizations, which begin as the model says. */
export async function addOrganizations(store: string, count: number, name = "Busy"): Promise<string[]> {
  const opened = await openStore({ location: store });
  try {
    const directory = createDirectory({ store: opened, newId: createIdSource(Date.now), actor: "cli" });
    const ids: string[] = [];
    for (let index = 0; index < count; index += 1) ids.push((await directory.addOrganization(`${name} ${index}`)).id);
    return ids;
  } finally {
    await opened.close();
  }
}

/** Clients that call one after the other, each its node, until they are stopped; and what they were answered. */
export class Workload implements AsyncDisposable {
  readonly operations: AskedOperation[] = [];
  readonly seed: number;
  readonly #options: WorkloadOptions;
  readonly #clients: Promise<unknown>;
  readonly #watchers = new Set<(operation: AskedOperation) => void>();
  readonly #failure: Promise<never>;
  #isStopped = false;

  constructor({ seed = randomInt(2 ** 31), ...options }: WorkloadOptions) {
    this.seed = seed;
    this.#options = options;
    const running = options.nodes.all.flatMap((node, index) =>
      this.#clientsOf(index).map((client) => this.#run({ node, index, client })),
    );
    this.#clients = Promise.all(running);
    this.#failure = new Promise((_, reject) => {
      this.#clients.catch(reject);
    });
    this.#failure.catch(() => {});
  }

  /** Resolves when that many more calls have ended. */
  async after(count: number): Promise<void> {
    const until = this.operations.length + count;
    await this.#watch(() => this.operations.length >= until);
  }

  /** Resolves when each of the nodes has answered a call that began after `since` in such a way; to how long that took. */
  async eachAnswered(
    kinds: readonly Answer["kind"][],
    { since, nodes }: { readonly since: number; readonly nodes?: readonly number[] },
  ): Promise<number> {
    const open = new Set(nodes ?? this.#options.nodes.all.keys());
    const look = ({ node, answer, start }: AskedOperation) => {
      if (start >= since && kinds.includes(answer.kind)) open.delete(node);
      return open.size === 0;
    };
    if (!this.operations.some(look)) await this.#watch(look);
    return performance.now() - since;
  }

  /** Resolves when each client has ended a call that began after `since`, and so the one before it. */
  async eachCalled({ since }: { readonly since: number }): Promise<void> {
    const open = new Set(this.#options.nodes.all.flatMap((_, index) => this.#clientsOf(index)));
    const look = ({ client, start }: AskedOperation) => {
      if (start >= since) open.delete(client);
      return open.size === 0;
    };
    if (!this.operations.some(look)) await this.#watch(look);
  }

  /** Resolves when a call has ended for which `isIt` holds. */
  async #watch(isIt: (operation: AskedOperation) => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const watcher = (operation: AskedOperation) => {
      if (isIt(operation)) resolve();
    };
    const tooLate = () => reject(new Error(`seed ${this.seed}: what was waited for did not come in ${patienceMs} ms`));
    const timer = setTimeout(tooLate, patienceMs);
    this.#watchers.add(watcher);
    try {
      await Promise.race([promise, this.#failure]);
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  /** Lets every client end its call. Rejects where one was answered what no client expects. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#clients;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  #clientsOf(node: number): readonly number[] {
    const { clientsEach } = this.#options;
    return Array.from({ length: clientsEach }, (_, each) => node * clientsEach + each);
  }

  async #run(asked: { readonly node: Node; readonly index: number; readonly client: number }): Promise<void> {
    const { nodes, organizations } = this.#options;
    const random = createRandom(this.seed + asked.client);
    const pick = <T>(all: readonly T[]): T => all[Math.floor(random() * all.length)] as T;
    while (!this.#isStopped) {
      const organization = pick(organizations);
      const call = pickCall(pick);
      const url = await asked.node.url();
      const start = performance.now();
      const answer = await ask({ url, token: nodes.token, organization }, call).catch(async (error: Error) => {
        throw new Error(`${error.message}; the node wrote:\n${await asked.node.log()}`, { cause: error });
      });
      const { client, index: node } = asked;
      const operation = { organization, client, node, call, answer, start, end: performance.now() };
      this.operations.push(operation);
      for (const watcher of [...this.#watchers]) watcher(operation);
    }
  }
}

function pickCall(pick: <T>(all: readonly T[]) => T): Call {
  const factor = pick(factors);
  return pick<Call>([
    { kind: "add", factor },
    { kind: "add", factor },
    { kind: "add", factor },
    { kind: "remove", factor },
    { kind: "remove", factor },
    { kind: "create", factors: [factor] },
    { kind: "reset" },
    { kind: "read" },
    { kind: "read" },
    { kind: "list" },
    { kind: "list" },
  ]);
}

interface Asked {
  readonly url: string;
  readonly token: string;
  readonly organization: string;
}

async function ask({ url, token, organization }: Asked, call: Call): Promise<Answer> {
  const { verb, path, body } = toRequest(call);
  try {
    const response = await fetch(url + path, {
      method: verb,
      headers: {
        authorization: `Bearer ${token}`,
        "x-zitadel-orgid": organization,
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(clientTimeoutMs),
    });
    return toAnswer(call, { isOk: response.ok, body: (await response.json()) as JsonObject });
  } catch (error) {
    if (error instanceof UnexpectedAnswer) throw error;
    // Without a connection, nothing was sent; with one, nobody knows how far it came.
    const { code } = ((error as Error).cause ?? {}) as { readonly code?: string };
    return { kind: code === "ECONNREFUSED" ? "failed" : "unknown" };
  }
}

const policyPath = "/management/v1/policies/login";
const wireName = (factor: string) => `SECOND_FACTOR_TYPE_${factor}`;

function toRequest(call: Call): { readonly verb: string; readonly path: string; readonly body?: JsonObject } {
  switch (call.kind) {
    case "add":
      return { verb: "POST", path: secondFactorsPath, body: { type: wireName(call.factor) } };
    case "remove":
      return { verb: "DELETE", path: `${secondFactorsPath}/${wireName(call.factor)}` };
    case "create":
      return { verb: "POST", path: policyPath, body: { secondFactors: call.factors.map(wireName) } };
    case "reset":
      return { verb: "DELETE", path: policyPath };
    case "read":
      return { verb: "GET", path: policyPath };
    case "list":
      return { verb: "POST", path: `${secondFactorsPath}/_search`, body: {} };
  }
}

class UnexpectedAnswer extends Error {}

function toAnswer(call: Call, { isOk, body }: { readonly isOk: boolean; readonly body: JsonObject }): Answer {
  if (!isOk) return toFailure(call, body);
  if (call.kind === "read") {
    const policy = body["policy"] as JsonObject;
    const isDefault = policy["isDefault"] === true;
    const shown = { kind: "shown", factors: toFactors(policy["secondFactors"]), isDefault } as const;
    return isDefault ? shown : { ...shown, sequence: sequenceOf(policy) };
  }
  if (call.kind === "list") {
    const { processedSequence } = body["details"] as JsonObject;
    return { kind: "shown", factors: toFactors(body["result"]), position: Number(processedSequence) };
  }
  return { kind: "written", sequence: sequenceOf(body) };
}

const toFactors = (names: unknown): string[] =>
  (names as string[]).map((wire) => wire.replace("SECOND_FACTOR_TYPE_", ""));

function toFailure(call: Call, body: JsonObject): Answer {
  const { code, message } = body;
  switch (Number(code)) {
    case 2:
      if (String(message).startsWith("whether this was written is unknown")) return { kind: "unknown" };
      break;
    case 5:
      return { kind: "refused", reason: "missing" };
    case 6:
      return { kind: "refused", reason: "exists" };
    case 10:
    case 14:
      return { kind: "failed" };
  }
  throw new UnexpectedAnswer(`${call.kind} was answered ${JSON.stringify(body)}`);
}
