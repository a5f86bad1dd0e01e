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
      // It tells of its own reset, and an error that nobody listens to would end the process.
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
      // Left by a handler that meant to compress its answer; ours is not.
      res.removeHeader("content-encoding");
      sendStatusAnswer(res, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
    }
  };
  return Object.assign(handle, streamHandler && { streamHandler: guarded });
}
