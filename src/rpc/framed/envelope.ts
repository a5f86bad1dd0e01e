import type { Readable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { readBody } from "../http/body.ts";

// The framing of messages that gRPC and gRPC-Web share: a byte of flags, four of length, the message.

const headerBytes = 5;
const compressedFlag = 1;

/** A message as it was sent. */
export interface Sent {
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
}

/** Reads a request that is one message. Rejects as soon as the length in its frame is too large. */
export function readEnvelope(source: Readable, maxBytes: number): Promise<Buffer> {
  return readBody(source, (length, start) => {
    checkLength(start, maxBytes);
    // One message of the size allowed, and a few bytes to see what follows it.
    if (length > maxBytes + 2 * headerBytes) throw extraMessage();
  });
}

/**
 * Takes the one message out of a body. Throws a ConnectError: `resource_exhausted` for one larger than `maxBytes`;
 * `unimplemented` for no message or several, as in gRPC's list of status codes; `internal` for unknown flags;
 * `invalid_argument` for what is cut short.
 */
export function openEnvelope(body: Buffer, maxBytes: number): Sent {
  if (body.length === 0) throw new ConnectError("the request holds no message", Code.Unimplemented);
  if (body.length < headerBytes) throw cutShort();
  const flags = body[0] as number;
  if (flags > compressedFlag) throw new ConnectError("the flags of the message are not known", Code.Internal);
  checkLength(body, maxBytes);
  const end = headerBytes + body.readUInt32BE(1);
  if (end > body.length) throw cutShort();
  if (end + headerBytes <= body.length) throw extraMessage();
  if (end < body.length) throw cutShort();
  return { bytes: body.subarray(headerBytes), isCompressed: flags === compressedFlag };
}

/** Puts a message, or gRPC-Web's trailers, into its frame. */
export function envelope(bytes: Uint8Array, flags = 0): Buffer {
  const framed = Buffer.allocUnsafe(headerBytes + bytes.length);
  framed.writeUInt8(flags, 0);
  framed.writeUInt32BE(bytes.length, 1);
  framed.set(bytes, headerBytes);
  return framed;
}

/** Throws where the length in the frame is too large. */
export function checkLength(start: Buffer, maxBytes: number): void {
  if (start.length < headerBytes || start.readUInt32BE(1) <= maxBytes) return;
  throw new ConnectError(`the message is larger than ${maxBytes} bytes`, Code.ResourceExhausted);
}

const cutShort = (): ConnectError => new ConnectError("the request ends within a message", Code.InvalidArgument);
const extraMessage = (): ConnectError =>
  new ConnectError("the request holds more than its one message", Code.Unimplemented);
