import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type MethodImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { admit, type CallOptions } from "../../../../src/rpc/call/admit.ts";
import { CallerTurns, callerKey, connectionKey } from "../../../../src/rpc/call/caller-turns.ts";
import { CallContext } from "../../../../src/rpc/call/context.ts";
import { invoke } from "../../../../src/rpc/call/invoke.ts";
import { createRpcTable } from "../../../../src/rpc/rpc-table.ts";
import { BareRequestSchema, EchoService } from "../../../fixtures/gen/portcullis/test/v1/echo_pb.ts";

const method = EchoService.method.bare;

function specOf(impl: MethodImpl<typeof method>) {
  const table = createRpcTable((router) => router.service(EchoService, { bare: impl }));
  const spec = table.get("/portcullis.test.v1.EchoService/Bare")?.spec;
  if (spec?.kind !== "unary") throw new Error("not the unary RPC");
  return spec;
}

const contextOf = (headers: Record<string, string> = {}, timeoutMs?: number) =>
  new CallContext(
    {
      head: { method: "POST", url: "/x", headers: { host: "test", ...headers } },
      contextValues: createContextValues(),
    },
    { method, protocolName: "rest", timeoutMs },
  );

interface Call {
  readonly spec: ReturnType<typeof specOf>;
  readonly context: CallContext;
  readMessage(): Message | Promise<Message>;
}

/** One unary call as every codec serves it: the gate and a turn, the message, interceptors and implementation. */
const callUnary = ({ spec, context, readMessage }: Call, options: CallOptions) =>
  admit(context, options, async () =>
    invoke(spec, { context, message: await readMessage(), interceptors: options.interceptors }),
  );

const request = () => create(BareRequestSchema, { text: "hi" });

describe("admit", () => {
  const options = { interceptors: [], maxRequestBytes: 0 };

  it("asks the gate, then reads the message, then calls", async () => {
    const order: string[] = [];
    await callUnary(
      {
        spec: specOf(() => {
          order.push("implementation");
          return {};
        }),
        context: contextOf(),
        async readMessage() {
          order.push("message");
          return request();
        },
      },
      {
        ...options,
        async gate() {
          await Promise.resolve();
          order.push("gate");
        },
      },
    );
    expect(order).toEqual(["gate", "message", "implementation"]);
  });

  it("reads nothing where the gate refuses", async () => {
    const refusal = new ConnectError("closed", Code.PermissionDenied);
    const call = callUnary(
      {
        spec: specOf(() => {
          throw new Error("called");
        }),
        context: contextOf(),
        readMessage: () => {
          throw new Error("read");
        },
      },
      {
        ...options,
        gate() {
          throw refusal;
        },
      },
    );
    await expect(call).rejects.toBe(refusal);
  });
});

describe("turns", () => {
  it.each([
    { what: "forgets its address", forget: () => undefined },
    {
      what: "throws when it is asked for its address",
      forget: () => {
        throw new Error("the session is gone");
      },
    },
  ])("are given back for a connection that $what when it closes", async ({ forget }) => {
    const turns = new CallerTurns({ maxInFlight: 1 });
    for (let call = 0; call < 3; call += 1) {
      const context = contextOf();
      let isOpen = true;
      context.values.set(connectionKey, {
        get remoteAddress() {
          if (!isOpen) return forget();
          isOpen = false;
          return "192.0.2.1";
        },
      });
      const answer = callUnary(
        { spec: specOf(() => ({ text: "x" })), context, readMessage: request },
        { gate() {}, interceptors: [], maxRequestBytes: 0, turns },
      );
      await expect(answer).resolves.toMatchObject({ text: "x" });
    }
  });

  it("are given back where an implementation throws", async () => {
    const turns = new CallerTurns({ maxInFlight: 1 });
    for (let call = 0; call < 3; call += 1) {
      const context = contextOf();
      context.values.set(callerKey, "ada");
      const answer = callUnary(
        {
          spec: specOf(() => {
            throw new ConnectError("no", Code.Aborted);
          }),
          context,
          readMessage: request,
        },
        { gate() {}, interceptors: [], maxRequestBytes: 0, turns },
      );
      await expect(answer).rejects.toMatchObject({ code: Code.Aborted });
    }
  });
});
