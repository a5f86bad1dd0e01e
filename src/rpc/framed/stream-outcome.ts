import { Code } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import type { Outcome } from "../call/outcome.ts";
import type { UniversalServerResponse } from "./universal.ts";

/** HTTP statuses that Connect's handlers answer without a body, for what the server does not implement. */
const unserved: ReadonlySet<number> = new Set([404, 405, 415, 505]);

/** The flags of the envelopes that hold a status rather than a message. */
const grpcWebTrailers = 0x80;
const connectEndOfStream = 0x02;

/**
 * Finds the outcome that an answer of Connect's handlers has for its client. It is known at the end
 * of the body. A long error is sent compressed, and counts as unknown.
 */
export function withOutcome(answer: UniversalServerResponse): {
  readonly answer: UniversalServerResponse;
  outcome(): Outcome;
} {
  const type = answer.header?.get("content-type") ?? "";
  const isGrpc = /^application\/grpc(\+|$)/.test(type);
  let found: Outcome = answer.status === 200 ? 0 : unserved.has(answer.status) ? Code.Unimplemented : Code.Unknown;
  const fromStatus = (status: string | null | undefined) => {
    if (status != null) found = Number(status);
  };
  const look = (chunk: Uint8Array) => {
    const [flags = 0] = chunk;
    if (type.startsWith("application/grpc-web") && flags & grpcWebTrailers) {
      const trailers = Buffer.from(chunk).toString("latin1", 5);
      found = Number(/^grpc-status: *(\d+)/im.exec(trailers)?.[1] ?? Code.Unknown);
    } else if (type.startsWith("application/connect+") && flags & connectEndOfStream) {
      found = codeIn(chunk.subarray(5), ({ error }) => error);
    } else if (answer.status !== 200 && type === "application/json") {
      found = codeIn(chunk, (error) => error);
    }
  };
  async function* looked(chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of chunks) {
      look(chunk);
      yield chunk;
    }
  }
  const { body } = answer;
  return {
    answer: isGrpc || body === undefined ? answer : { ...answer, body: looked(body) },
    outcome() {
      if (type.startsWith("application/grpc")) fromStatus(answer.header?.get("grpc-status"));
      if (isGrpc) fromStatus(answer.trailer?.get("grpc-status"));
      return found;
    },
  };
}

interface ErrorJson {
  readonly code?: string;
}

/** The code of an error in Connect's JSON. */
function codeIn(
  json: Uint8Array,
  errorOf: (whole: ErrorJson & { error?: ErrorJson }) => ErrorJson | undefined,
): Outcome {
  try {
    const error = errorOf(JSON.parse(Buffer.from(json).toString("utf8")));
    return error === undefined ? 0 : (codeFromString(error.code ?? "") ?? Code.Unknown);
  } catch {
    return Code.Unknown;
  }
}
