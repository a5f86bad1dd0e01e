// Callers who send far too many calls at once, and how many of theirs a call of somebody else waits for. That is counted in calls
// and not in time, which would depend on the machine; bench/ has the times.
import { once } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { Gate } from "../../src/rpc/call/admit.ts";
import { CallerTurns, callerKey } from "../../src/rpc/call/caller-turns.ts";
import type { Observe, Outcome } from "../../src/rpc/call/outcome.ts";
import { type EchoServer, openEcho } from "../fixtures/echo.ts";
import {
  dataFrame,
  type Frame,
  headersFrame,
  initialWindowSetting,
  isLastOfStream,
  settingsFrame,
  windowUpdateFrame,
} from "../fixtures/http2-frames.ts";
import { isWhole } from "../fixtures/sample.ts";
import { paths } from "../fixtures/server.ts";
import { frame } from "../fixtures/wire.ts";
import { type FrameClient, frameClient, session2 } from "./listener-clients.ts";

/** Of each of the six; a minute in all where there is time. */
const attackMs = isWhole ? 10_000 : 500;
const connections = 20;
const callsAtOnce = 100;

const path = "/portcullis.test.v1.EchoService/Bare";
const typed = { "content-type": "application/grpc", te: "trailers" };
const body = frame(Buffer.alloc(0));

/** Looks up who calls as a store does: all that ask in one turn of the event loop are answered at its end. */
const gate: Gate = async ({ requestHeader, values }) => {
  await new Promise((resolve) => setImmediate(resolve));
  const caller = requestHeader.get("x-caller");
  if (caller === "wrong") throw new ConnectError("nobody is called so", Code.Unauthenticated);
  values.set(callerKey, caller ?? undefined);
};

/** How many calls were answered since it was last asked. */
function takeAnswers({ frames }: FrameClient): number {
  return (frames as Frame[]).splice(0).filter(isLastOfStream).length;
}

/** Opens a connection and keeps it full of calls. */
async function keepCalling(server: EchoServer, caller: Record<string, string>): Promise<void> {
  const client = await frameClient(server, { settings: settingsFrame([[initialWindowSetting, 1_000_000]]) });
  const headers = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": "h", ...typed, ...caller };
  let stream = 1;
  const send = (count: number) => {
    for (let sent = 0; sent < count; sent += 1, stream += 2) {
      client.write(Buffer.concat([headersFrame(stream, headers), dataFrame(stream, body, true)]));
    }
  };
  client.write(windowUpdateFrame(0, 2 ** 31 - 100_000));
  client.socket.on("data", () => send(takeAnswers(client)));
  send(callsAtOnce);
}

/** Tells for each call of `ada` how many calls of others ended while it was in the server. */
function countOthers() {
  const counts: number[] = [];
  const outcomes = new Set<Outcome>();
  let ended = 0;
  const observe: Observe = ({ head }) => {
    const before = ended;
    return (outcome) => {
      if (head.headers["x-caller"] === "ada") {
        counts.push(ended - before);
        return;
      }
      ended += 1;
      outcomes.add(outcome);
    };
  };
  return { observe, counts, outcomes, ended: () => ended };
}

describe.each(paths)("while somebody else has 2000 calls waiting, on the $path path", ({ stockHandlers }) => {
  it.each([
    { who: "who is known", caller: { "x-caller": "bob" }, outcomes: [0, Code.ResourceExhausted] },
    { who: "whom the gate refuses", caller: { "x-caller": "wrong" }, outcomes: [Code.Unauthenticated] },
    { who: "who is nobody", caller: {}, outcomes: [0, Code.ResourceExhausted] },
  ])("a call waits for few of them ($who)", { timeout: attackMs + 30_000 }, async ({ caller, outcomes }) => {
    const counted = countOthers();
    const server = await openEcho({
      gate,
      observe: counted.observe,
      stockHandlers,
      turns: new CallerTurns({ maxInFlight: 100 }),
    });
    const session = session2(server);
    await Promise.all(Array.from({ length: connections }, () => keepCalling(server, caller)));
    const until = performance.now() + attackMs;
    while (performance.now() < until || counted.counts.length < 10) {
      const stream = session.request({ ":method": "POST", ":path": path, ...typed, "x-caller": "ada" });
      stream.end(body);
      await once(stream.resume(), "end");
    }
    session.destroy();
    // In a turn of the event loop, 16 calls begin or are refused, and a call is in the server for a few turns.
    const turnsOfACall = stockHandlers ? 4 : 2;
    const sorted = counted.counts.toSorted((a, b) => a - b);
    expect(sorted.at(-Math.ceil(sorted.length / 100))).toBeLessThanOrEqual(16 * turnsOfACall);
    expect([...counted.outcomes].toSorted((a, b) => a - b)).toEqual(outcomes);
    expect(server.failures).toEqual([]);
  });
});
