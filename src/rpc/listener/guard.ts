import { aroundHandler, type ListenerHandler } from "./handler.ts";
import { sendStatusAnswer } from "./status-answer.ts";

/**
 * Wraps a handler so that what it throws synchronously is reported and answered with 500, instead of ending the process.
 * The text sent is constant: what was thrown may quote a token or a body.
 */
export function guardHandler(handler: ListenerHandler, onError: (error: unknown) => void): ListenerHandler {
  return aroundHandler(handler, (req, res) => {
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
  });
}
