import { create, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextValues, type Interceptor, type MethodImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
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

const run = (
  spec: ReturnType<typeof specOf>,
  context: CallContext,
  message: Message,
  interceptors: readonly Interceptor[],
) => invoke(spec, { context, message, interceptors });

const request = () => create(BareRequestSchema, { text: "hi" });

describe("invoke", () => {
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
    await run(spec, contextOf(), request(), [named("first"), named("second")]);
    expect(order).toEqual(["first in", "second in", "implementation", "second out", "first out"]);
  });

  it("leaves the list of interceptors as it was", async () => {
    const list: Interceptor[] = [(next) => next, (next) => (call) => next(call)];
    const before = [...list];
    await run(
      specOf(() => ({})),
      contextOf(),
      request(),
      list,
    );
    expect(list).toEqual(before);
  });

  it("makes a message of what the implementation returns", async () => {
    const message = await run(
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
    await run(
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
    const message = await run(spec, contextOf({ "x-own": "1" }), request(), [replace]);
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
    await run(spec, context, request(), [add]);
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
    await run(spec, context, request(), [replace]);
    expect(Object.fromEntries(context.responseHeader)).toEqual({ "x-new": "n" });
  });

  it("rejects with what the implementation throws, as it is", async () => {
    for (const reason of [new Error("plain"), new ConnectError("refused", Code.Aborted)]) {
      const spec = specOf(() => {
        throw reason;
      });
      await expect(run(spec, contextOf(), request(), [])).rejects.toBe(reason);
    }
  });
});
