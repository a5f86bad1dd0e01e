import { type DescExtension, type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type * as v1 from "../gen/grpc/reflection/v1/reflection_pb.ts";
import type * as v1alpha from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";

export interface ReflectionOptions {
  /** What the server serves, reflection included. */
  readonly services: readonly DescService[];
  /** Files that no service imports, for example those of error details. Default: none. */
  readonly moreFiles?: readonly DescFile[];
  /** Aborted when the server closes, which ends the calls: tools keep one open between their questions. */
  readonly closing: AbortSignal;
}

/** Both versions of `grpc.reflection`, which differ in their package only. */
export interface ReflectionServices {
  readonly v1: ServiceImpl<typeof v1.ServerReflection>;
  readonly v1alpha: ServiceImpl<typeof v1alpha.ServerReflection>;
}

type ReflectionRequest = v1.ServerReflectionRequest | v1alpha.ServerReflectionRequest;

/** `message_response`, as either version takes it. */
type Answer =
  | { readonly case: "fileDescriptorResponse"; readonly value: { fileDescriptorProto: Uint8Array[] } }
  | {
      readonly case: "allExtensionNumbersResponse";
      readonly value: { baseTypeName: string; extensionNumber: number[] };
    }
  | { readonly case: "listServicesResponse"; readonly value: { service: { name: string }[] } }
  | { readonly case: "errorResponse"; readonly value: { errorCode: Code; errorMessage: string } };

/**
 * Implements `grpc.reflection.v1.ServerReflection` and `v1alpha`. A question without an answer gets an `error_response`, and the
 * call goes on. The answer to a file holds all that it imports, directly or not, except what this call has sent before, as in
 * the reference implementations. When the server closes, the calls end with UNAVAILABLE.
 */
export function createReflectionServices({ services, moreFiles = [], closing }: ReflectionOptions): ReflectionServices {
  let index: ReflectionIndex | undefined;

  function answer({ messageRequest }: ReflectionRequest, sent: Set<DescFile>): Answer {
    // Made for the first question: most servers get none.
    index ??= createIndex([...services.map(({ file }) => file), ...moreFiles]);
    switch (messageRequest.case) {
      case "fileByFilename":
        return fileAnswer(index.files.get(messageRequest.value), sent);
      case "fileContainingSymbol":
        return fileAnswer(index.symbols.get(messageRequest.value), sent);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = messageRequest.value;
        return fileAnswer(index.extensions.get(containingType)?.get(extensionNumber), sent);
      }
      case "allExtensionNumbersOfType": {
        const extensions = index.extensions.get(messageRequest.value);
        if (extensions === undefined) return errorAnswer(Code.NotFound, "the server knows no such message");
        const extensionNumber = [...extensions.keys()].sort((a, b) => a - b);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: messageRequest.value, extensionNumber } };
      }
      case "listServices": {
        const service = services.map(({ typeName }) => ({ name: typeName })).sort((a, b) => (a.name < b.name ? -1 : 1));
        return { case: "listServicesResponse", value: { service } };
      }
      case undefined:
        return errorAnswer(Code.InvalidArgument, "the request holds no question that the server knows");
    }
  }

  async function* serve<Request extends ReflectionRequest>(requests: AsyncIterable<Request>) {
    const sent = new Set<DescFile>();
    for await (const request of untilAborted(requests, closing)) {
      yield { validHost: request.host, originalRequest: request, messageResponse: answer(request, sent) };
    }
  }
  return { v1: { serverReflectionInfo: serve }, v1alpha: { serverReflectionInfo: serve } };
}

const errorAnswer = (errorCode: Code, errorMessage: string): Answer => ({
  case: "errorResponse",
  value: { errorCode, errorMessage },
});

function fileAnswer(file: DescFile | undefined, sent: Set<DescFile>): Answer {
  if (file === undefined) return errorAnswer(Code.NotFound, "the server knows no such file, symbol or extension");
  // The file itself is sent in any case: it is the answer.
  const files = [file, ...reachable(file.dependencies).filter((imported) => imported !== file && !sent.has(imported))];
  for (const each of files) sent.add(each);
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto: files.map(serialize) } };
}

/** The files, and all that they import, each once; the nearest first. */
function reachable(files: readonly DescFile[]): readonly DescFile[] {
  // The loop also visits what is added while it runs.
  const found = new Set(files);
  for (const file of found) for (const imported of file.dependencies) found.add(imported);
  return [...found];
}

const serialized = new WeakMap<DescFile, Uint8Array>();

function serialize(file: DescFile): Uint8Array {
  const bytes = serialized.get(file) ?? toBinary(FileDescriptorProtoSchema, file.proto);
  serialized.set(file, bytes);
  return bytes;
}

/** The file of each declaration, by full name. */
interface ReflectionIndex {
  readonly files: ReadonlyMap<string, DescFile>;
  readonly symbols: ReadonlyMap<string, DescFile>;
  /** By the name of a message: the files of its extensions, by number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescFile>>;
}

function createIndex(roots: readonly DescFile[]): ReflectionIndex {
  const all = reachable(roots);
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();

  function addExtensions(declared: readonly DescExtension[], file: DescFile): void {
    for (const { typeName, extendee, number } of declared) {
      symbols.set(typeName, file);
      extensionsOf(extendee).set(number, file);
    }
  }
  function extensionsOf({ typeName }: DescMessage): Map<number, DescFile> {
    const known = extensions.get(typeName) ?? new Map<number, DescFile>();
    extensions.set(typeName, known);
    return known;
  }
  function addMessage(message: DescMessage, file: DescFile): void {
    symbols.set(message.typeName, file);
    extensionsOf(message);
    for (const { name } of [...message.fields, ...message.oneofs]) symbols.set(`${message.typeName}.${name}`, file);
    addEnums(message.nestedEnums, file);
    addExtensions(message.nestedExtensions, file);
    for (const nested of message.nestedMessages) addMessage(nested, file);
  }
  function addEnums(enums: DescFile["enums"], file: DescFile): void {
    for (const { typeName, values } of enums) {
      symbols.set(typeName, file);
      // An enum's values belong to the scope around the enum.
      const scope = typeName.slice(0, typeName.lastIndexOf(".") + 1);
      for (const { name } of values) symbols.set(scope + name, file);
    }
  }

  for (const file of all) {
    for (const message of file.messages) addMessage(message, file);
    addEnums(file.enums, file);
    addExtensions(file.extensions, file);
    for (const { typeName, methods } of file.services) {
      symbols.set(typeName, file);
      for (const { name } of methods) symbols.set(`${typeName}.${name}`, file);
    }
  }
  return { files: new Map(all.map((file) => [file.proto.name, file])), symbols, extensions };
}

/** Passes items on, and throws UNAVAILABLE once the signal is aborted, also while it waits for one. */
async function* untilAborted<Item>(items: AsyncIterable<Item>, signal: AbortSignal): AsyncIterable<Item> {
  const iterator = items[Symbol.asyncIterator]();
  let abort = () => {};
  const onAbort = () => abort();
  signal.addEventListener("abort", onAbort);
  try {
    for (;;) {
      // Not Promise.race with one promise for the whole call: that would keep every item until the call ends.
      const next = await new Promise<IteratorResult<Item>>((resolve, reject) => {
        abort = () => reject(new ConnectError("the server is shutting down", Code.Unavailable));
        if (signal.aborted) abort();
        else iterator.next().then(resolve, reject);
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
