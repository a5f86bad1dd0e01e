import { constants } from "node:http2";
import type { ListenerHandler, StreamHandler } from "./handler.ts";
import { sendStatusAnswer } from "./status-answer.ts";

/**
 * Wraps a handler so that what it throws synchronously is reported and answered with 500, or a reset of the bare stream,
 * instead of ending the process.
 * The text sent is constant: what was thrown may quote a token or a body.
 */
export function guardHandler(handler: ListenerHandler, onError: (error: unknown) => void): ListenerHandler {
  const { streamHandler } = handler;
  const guarded: StreamHandler = (stream, ...rest) => {
    try {
      return streamHandler?.(stream, ...rest) ?? false;
    } catch (error) {
      onError(error);
      // Its own reset is an error event too, and one without a listener would end the process.
      stream.on("error", () => {});
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return true;
    }
  };
  const handle: ListenerHandler = (req, res) => {
    try {
      handler(req, res);
    } catch (error) {
      onError(error);
      if (res.headersSent) {
        res.destroy();
        return;
      }
      // The handler may have set it for its own answer; this one is not compressed.
      res.removeHeader("content-encoding");
      sendStatusAnswer(res, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
    }
  };
  return Object.assign(handle, streamHandler && { streamHandler: guarded });
}
