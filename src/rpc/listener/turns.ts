/** So few that others wait no longer than about a millisecond: a call takes some 0.1 ms. */
const inOneTurn = 8;

/**
 * Begins work in its order, but for each client no more than a few pieces in one turn of the event loop: the work of
 * others comes between, and what the client resets meanwhile never begins. Otherwise a flood of requests that are reset at once
 * would all be served before the server sees the first reset.
 */
export class Turns<Client extends object> {
  readonly #clients = new Map<Client, { begun: number; readonly waiting: (() => void)[] }>();
  #isScheduled = false;

  /** Whether the client may begin something now. Otherwise give it to `wait`. */
  mayBegin(client: Client): boolean {
    let state = this.#clients.get(client);
    if (state === undefined) {
      state = { begun: 0, waiting: [] };
      this.#clients.set(client, state);
      this.#schedule();
    }
    if (state.begun >= inOneTurn) return false;
    state.begun += 1;
    return true;
  }

  /** Only where `mayBegin` has just said no. */
  wait(client: Client, begin: () => void): void {
    this.#clients.get(client)?.waiting.push(begin);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    for (const [client, state] of this.#clients) {
      const next = state.waiting.splice(0, inOneTurn);
      if (next.length === 0) this.#clients.delete(client);
      state.begun = state.waiting.length > 0 ? inOneTurn : next.length;
      for (const begin of next) begin();
    }
    if (this.#clients.size > 0) this.#schedule();
  }
}
