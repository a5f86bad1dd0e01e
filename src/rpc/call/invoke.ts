import { create, type DescMessage, isMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, Interceptor, MethodImplSpec, UnaryRequest } from "@connectrpc/connect";
import type { CallContext } from "./context.ts";

export type UnarySpec = MethodImplSpec & { readonly kind: "unary" };

/** Runs interceptors and implementation of a unary call. What they say in headers and trailers is in the context. */
export async function invoke(
  { impl, method }: UnarySpec,
  call: { readonly context: CallContext; readonly message: Message; readonly interceptors: readonly Interceptor[] },
): Promise<Message> {
  const { context, message, interceptors } = call;
  if (interceptors.length === 0) {
    const output = impl(message, context);
    return normalize(method.output, output instanceof Promise ? await output : output);
  }
  const { responseHeader, responseTrailer } = context;
  const request = {
    stream: false,
    method,
    service: method.parent,
    requestMethod: context.requestMethod,
    url: context.url,
    header: context.requestHeader,
    contextValues: context.values,
    message,
  } as UnaryRequest;
  context.shareSignal(request);
  let next: Parameters<Interceptor>[0] = async (passed) => {
    const seen = passed === request ? context : contextOf(passed as UnaryRequest, context);
    const output = normalize(method.output, await impl(passed.message as Message, seen));
    const common = { stream: false, service: method.parent, method } as const;
    return { ...common, header: responseHeader, trailer: responseTrailer, message: output };
  };
  for (let index = interceptors.length - 1; index >= 0; index -= 1) next = (interceptors[index] as Interceptor)(next);
  const response = await next(request);
  replaceHeaders(responseHeader, response.header);
  replaceHeaders(responseTrailer, response.trailer);
  return response.message as Message;
}

const normalize = (desc: DescMessage, output: MessageInitShape<DescMessage>): Message =>
  isMessage(output) ? output : create(desc, output);

/** The context for an implementation whose request an interceptor replaced. */
const contextOf = (request: UnaryRequest, context: CallContext): HandlerContext => ({
  ...context,
  requestHeader: request.header,
  signal: request.signal,
  values: request.contextValues,
});

function replaceHeaders(to: Headers, from: Headers): void {
  if (from === to) return;
  for (const name of [...to.keys()]) to.delete(name);
  for (const [name, value] of from) to.append(name, value);
}
