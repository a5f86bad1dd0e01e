import { Code, ConnectError } from "@connectrpc/connect";
import { mediaType, type RequestHead } from "../../http/request.ts";
import type { UniversalServerRequest, UniversalServerResponse } from "../universal.ts";

// The text form of gRPC-Web (grpc/doc/PROTOCOL-WEB.md): the binary form in base64, where each flush may be padded by itself.

export const isText = (head: RequestHead): boolean => mediaType(head).startsWith("application/grpc-web-text");

/** The bytes of a whole body in text form. Throws a ConnectError, invalid_argument, where it is none. */
export function decodeText(text: string): Buffer {
  if (text.length % 4 !== 0) throw notBase64();
  return decodeGroups(text);
}

/** Turns a request in text form into one in binary form. */
export function decodeTextRequest(request: UniversalServerRequest): UniversalServerRequest {
  const header = new Headers(request.header);
  header.set("content-type", (header.get("content-type") ?? "").replace(/-text/i, ""));
  return { ...request, header, body: decodeBase64(request.body as AsyncIterable<Uint8Array>) };
}

/** Turns an answer in binary form into one in text form. */
export function encodeTextResponse(response: UniversalServerResponse): UniversalServerResponse {
  const header = new Headers(response.header);
  header.set("content-type", "application/grpc-web-text+proto");
  if (response.body === undefined) return { ...response, header };
  return { ...response, header, body: encodeBase64(response.body) };
}

async function* decodeBase64(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let pending = "";
  for await (const chunk of body) {
    pending += Buffer.from(chunk).toString("latin1");
    const whole = pending.length - (pending.length % 4);
    yield decodeGroups(pending.slice(0, whole));
    pending = pending.slice(whole);
  }
  if (pending !== "") throw notBase64();
}

/** Decodes groups of four characters; padding may end any of them, since each flush was encoded by itself. */
function decodeGroups(text: string): Buffer {
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text, "base64");
  if (!/^[A-Za-z0-9+/=]*$/.test(text)) throw notBase64();
  // In place: texts or arrays for each group would take many times the size of what was sent.
  const bytes = Buffer.allocUnsafe((text.length / 4) * 3);
  let length = 0;
  for (let at = 0; at < text.length; at += 4) {
    const group = text.slice(at, at + 4);
    const [, second, third, fourth] = group;
    if (group.startsWith("=") || second === "=" || (third === "=" && fourth !== "=")) throw notBase64();
    length += bytes.write(group, length, "base64");
  }
  return bytes.subarray(0, length);
}

async function* encodeBase64(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  for await (const chunk of body) yield Buffer.from(Buffer.from(chunk).toString("base64"), "latin1");
}

function notBase64(): ConnectError {
  return new ConnectError("the body of a grpc-web-text request must be base64", Code.InvalidArgument);
}
