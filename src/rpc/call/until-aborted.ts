/** Resolves as the work does. Rejects with the reason of the signal where it is aborted before. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * The answers of a handler until its call is over. Throws why it is over where that is its deadline, its caller gone or a
 * limit, whether or not the handler looks at the signal: one that stops then without an error has not sent everything.
 */
export async function* whileCalled<Item>(answers: AsyncIterable<Item>, signal: AbortSignal): AsyncIterable<Item> {
  const iterator = answers[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await untilAborted(iterator.next(), signal);
      if (done) return signal.throwIfAborted();
      yield value;
    }
  } finally {
    // Not waited for: a handler that does not look at the signal ends when it likes.
    iterator.return?.().catch(() => {});
  }
}
