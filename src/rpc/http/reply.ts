import type { OutgoingHttpHeaders } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { discardRest } from "../listener/discard.ts";
import type { ListenerRequest, ListenerResponse } from "../listener/handler.ts";
import { requestIdHeader } from "../listener/request-id.ts";
import { type Answer, isClosed, isGone, onClose, send, sendOnStream } from "./response.ts";

/** Where the one answer of a call goes. */
export interface Reply {
  /** Whether the client is gone. */
  isGone(): boolean;
  /** Calls back when the connection or stream closes, whether the answer was complete or not. */
  onClose(listener: () => void): void;
  /** Does nothing where the client is gone. */
  send(answer: Answer): void;
}

export class ResponseReply implements Reply {
  readonly #request: ListenerRequest;
  readonly #response: ListenerResponse;

  constructor(request: ListenerRequest, response: ListenerResponse) {
    this.#request = request;
    this.#response = response;
  }

  isGone(): boolean {
    return isGone(this.#response);
  }

  onClose(listener: () => void): void {
    onClose(this.#request, this.#response, listener);
  }

  send(answer: Answer): void {
    send(this.#response, answer);
  }
}

/** On a bare stream of HTTP/2, without Node's response object. */
export class StreamReply implements Reply {
  readonly #stream: ServerHttp2Stream;
  readonly #requestId: string;

  constructor(stream: ServerHttp2Stream, requestId: string) {
    this.#stream = stream;
    this.#requestId = requestId;
    // Resets are everyday, and an error event without a listener would end the process.
    stream.on("error", ignore);
  }

  isGone(): boolean {
    return isClosed(this.#stream);
  }

  onClose(listener: () => void): void {
    this.#stream.on("close", listener);
  }

  send(answer: Answer): void {
    const stream = this.#stream;
    if (isClosed(stream) || stream.headersSent) return;
    const { trailer } = answer;
    if (trailer !== undefined) stream.on("wantTrailers", () => sendTrailers(stream, trailer));
    sendOnStream(stream, answer, { [requestIdHeader]: this.#requestId });
    if (!stream.readableEnded) discardRest(stream);
  }
}

/** An error thrown in an event listener would end the process. */
function sendTrailers(stream: ServerHttp2Stream, trailer: OutgoingHttpHeaders): void {
  try {
    stream.sendTrailers(trailer);
  } catch {
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}

function ignore(): void {}
