import { type ListenerHandler, sendStatusAnswer } from "@portcullis/rpc";

/**
 * A handler that is loaded with its first request: most processes never need it, and a start without it is faster. A request whose
 * loading fails gets 500, and the next one tries again.
 */
export function createLazyHandler(
  load: () => Promise<ListenerHandler>,
  onFailure: (reason: unknown) => void,
): ListenerHandler {
  let loading: Promise<ListenerHandler> | undefined;
  return (request, response) => {
    loading ??= load();
    loading.then(
      (handler) => handler(request, response),
      (reason: unknown) => {
        // Such as too many open files, which pass.
        loading = undefined;
        onFailure(reason);
        sendStatusAnswer(response, { httpStatus: 500, code: 13, message: "The server failed to handle the request." });
      },
    );
  };
}
