// The script for programs that Node runs: the clients in JavaScript, and tools of the command line.
import { fileURLToPath } from "node:url";
import type { StepName } from "./steps.ts";

/** A server, and whose calls and of what kind they are. */
export interface Target {
  readonly url: string;
  readonly token: string;
  /** As in the header `x-zitadel-orgid`. */
  readonly organization: string;
  readonly transport: string;
  /** The path of the PEM file by which the server is signed. */
  readonly ca: string;
  readonly timeoutMs?: number;
  /** Whether every request is compressed with gzip, however small. */
  readonly gzip?: boolean;
}

/** A foreign client behind the calls of the script. Each rejects with Refused where the call was refused. */
export interface FactorClient {
  /** The names of the second factors, as in JSON. */
  list(): Promise<readonly string[]>;
  /** Resolves to the header `portcullis-policy`, where the client can see it. */
  add(factor: string): Promise<{ readonly policyHeader?: string | undefined }>;
  remove(factor: string): Promise<unknown>;
  getPolicy(): Promise<{ readonly isDefault: boolean; readonly secondFactors: readonly string[] }>;
  close?(): void;
}

/** What a client tells of a call that the server refused. */
export class Refused extends Error {
  readonly code: number;
  /** Without what the client itself adds to it. */
  readonly text: string;
  /** The id in the ErrorDetail. */
  readonly id: string | undefined;

  constructor({ code, text, id }: { readonly code: number; readonly text: string; readonly id?: string | undefined }) {
    super(`code ${code}: ${text}`);
    this.code = code;
    this.text = text;
    this.id = id;
  }
}

const sms = "SECOND_FACTOR_TYPE_OTP_SMS";

export interface ScriptOptions {
  readonly open: (target: Target) => FactorClient;
  /** Steps that the client cannot do over the transport. */
  readonly cannot?: object;
}

/** Goes through the script and prints what happened, as `client.ts` has it. */
export async function goThrough({ open, cannot = {} }: ScriptOptions): Promise<void> {
  const target: Target = {
    url: variable("PORTCULLIS_URL"),
    token: variable("PORTCULLIS_TOKEN"),
    organization: variable("PORTCULLIS_ORGANIZATION"),
    transport: variable("PORTCULLIS_TRANSPORT"),
    ca: variable("PORTCULLIS_CA"),
  };

  /** Prints what `call` resolves to. A step that fails otherwise is told to people only, and the script goes on. */
  async function step(name: StepName, change: Partial<Target>, call: (client: FactorClient) => Promise<object>) {
    if (name in cannot) return;
    const client = open({ ...target, ...change });
    try {
      process.stdout.write(`${JSON.stringify({ step: name, ...(await call(client)) })}\n`);
    } catch (error) {
      process.stderr.write(`${name}: ${(error as Error).message}\n`);
    } finally {
      client.close?.();
    }
  }

  await step("list", {}, async (client) => ({ result: await client.list() }));
  await step("add", {}, async (client) => ({ ok: true, ...(await client.add(sms)) }));
  await step("add again", {}, async (client) => {
    const { code, text, id } = await refusalOf(client.add(sms));
    return { code, message: text, id };
  });
  await step("remove", {}, async (client) => {
    await client.remove(sms);
    return { ok: true };
  });
  await step("get policy", {}, (client) => client.getPolicy());
  await step("wrong token", { token: "wrong" }, async (client) => {
    const { code, id } = await refusalOf(client.list());
    return { code, id };
  });
  await step("other organization", { organization: variable("PORTCULLIS_OTHER_ORGANIZATION") }, async (client) => ({
    result: await client.list(),
  }));
  await step("deadline", { url: variable("PORTCULLIS_SLOW_URL"), timeoutMs: 500 }, async (client) => {
    const { code } = await refusalOf(client.list());
    return { code };
  });
  await step("gzip", { gzip: true }, async (client) => {
    // The request of a list is empty, which some clients do not compress. This one is read right where it is refused so.
    const { code } = await refusalOf(client.add("SECOND_FACTOR_TYPE_OTP"));
    return { ok: code === 6, result: await client.list() };
  });
}

async function refusalOf(call: Promise<unknown>): Promise<Refused> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Refused) return error;
    throw error;
  }
  throw new Error("the call was not refused");
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set; this program is run by interop.test.ts`);
  return value;
}

/** The command that runs a program of this folder with the Node in use. */
export function nodeCommand(program: URL): readonly [string, string] {
  return [process.execPath, fileURLToPath(program)];
}
