import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor, type MethodImpl } from "@connectrpc/connect";
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

/** A call that the gate lets pass. */
const pass = (
  spec: ReturnType<typeof specOf>,
  context: CallContext,
  message: Message,
  interceptors: readonly Interceptor[],
) => callUnary({ spec, context, readMessage: () => message }, { gate() {}, interceptors, maxRequestBytes: 0 });

const request = () => create(BareRequestSchema, { text: "hi" });

describe("interceptors and implementation", () => {
  it("runs interceptors from the first, the outermost, to the last", async () => {
    const order: string[] = [];
    const named =
      (name: string): Interceptor =>
      (next) =>
      async (call) => {
        order.push(`${name} in`);
        const answer = await next(call);
        order.push(`${name} out`);
        return answer;
      };
    const spec = specOf(() => {
      order.push("implementation");
      return { text: "x" };
    });
    await pass(spec, contextOf(), request(), [named("first"), named("second")]);
    expect(order).toEqual(["first in", "second in", "implementation", "second out", "first out"]);
  });

  it("leaves the list of interceptors as it was", async () => {
    const list: Interceptor[] = [(next) => next, (next) => (call) => next(call)];
    const before = [...list];
    await pass(
      specOf(() => ({})),
      contextOf(),
      request(),
      list,
    );
    expect(list).toEqual(before);
  });

  it("makes a message of what the implementation returns", async () => {
    const message = await pass(
      specOf(({ text }) => ({ text })),
      contextOf(),
      request(),
      [],
    );
    expect(message).toMatchObject({ $typeName: "portcullis.test.v1.BareResponse", text: "hi" });
  });

  it("shows interceptors the call", async () => {
    const context = contextOf({ "x-own": "1" });
    let seen: unknown;
    const spy: Interceptor = (next) => (call) => {
      const {
        stream,
        method: { name },
        service: { typeName },
        requestMethod,
        url,
        message,
      } = call;
      seen = { stream, name, typeName, requestMethod, url, message, own: call.header.get("x-own") };
      expect(call.contextValues).toBe(context.values);
      expect(call.signal).toBe(context.signal);
      return next(call);
    };
    await pass(
      specOf(() => ({})),
      context,
      request(),
      [spy],
    );
    expect(seen).toEqual({
      stream: false,
      name: "Bare",
      typeName: "portcullis.test.v1.EchoService",
      requestMethod: "POST",
      url: "http://test/x",
      message: request(),
      own: "1",
    });
  });

  it("hands the implementation the message and headers of the last interceptor", async () => {
    const replace: Interceptor = (next) => (call) =>
      next({
        ...call,
        header: new Headers({ "x-own": "2" }),
        ...(!call.stream && { message: create(BareRequestSchema, { text: "other" }) }),
      } as typeof call);
    const spec = specOf(({ text }, { requestHeader }) => ({ text: `${text} ${requestHeader.get("x-own")}` }));
    const message = await pass(spec, contextOf({ "x-own": "1" }), request(), [replace]);
    expect(message).toMatchObject({ text: "other 2" });
  });

  it("keeps headers and trailers that the implementation and interceptors set on the context's own", async () => {
    const context = contextOf();
    context.responseHeader.set("x-gate", "g");
    const add: Interceptor = (next) => async (call) => {
      const answer = await next(call);
      answer.header.set("x-interceptor", "i");
      answer.trailer.set("x-trailer", "i");
      return answer;
    };
    const spec = specOf((_, { responseHeader }) => {
      responseHeader.set("x-implementation", "m");
      return {};
    });
    await pass(spec, context, request(), [add]);
    expect(Object.fromEntries(context.responseHeader)).toEqual({
      "x-gate": "g",
      "x-implementation": "m",
      "x-interceptor": "i",
    });
    expect(Object.fromEntries(context.responseTrailer)).toEqual({ "x-trailer": "i" });
  });

  it("takes over headers that an interceptor replaced", async () => {
    const context = contextOf();
    const replace: Interceptor = (next) => async (call) => ({
      ...(await next(call)),
      header: new Headers({ "x-new": "n" }),
    });
    const spec = specOf((_, { responseHeader }) => {
      responseHeader.set("x-old", "o");
      return {};
    });
    await pass(spec, context, request(), [replace]);
    expect(Object.fromEntries(context.responseHeader)).toEqual({ "x-new": "n" });
  });

  it("rejects with what the implementation throws, as it is", async () => {
    for (const reason of [new Error("plain"), new ConnectError("refused", Code.Aborted)]) {
      const spec = specOf(() => {
        throw reason;
      });
      await expect(pass(spec, contextOf(), request(), [])).rejects.toBe(reason);
    }
  });
});

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
