import type { IncomingHttpHeaders } from "node:http";

/**
 * The headers of a request as Connect shows them to gates, interceptors and implementations. Filling a Headers object takes
 * some microseconds, and most calls look at one or two fields: those are read from what Node parsed, and the object is filled
 * when anything else is asked of it.
 */
export class RequestHeaders extends Headers {
  #unread: IncomingHttpHeaders | undefined;

  constructor(headers: IncomingHttpHeaders) {
    super();
    this.#unread = headers;
  }

  static #getUnread(headers: RequestHeaders, name: string): string | undefined {
    // Pseudo-headers are none, and what a plain object inherits is no text.
    const value = headers.#unread?.[String(name).toLowerCase()];
    return typeof value === "string" && !name.startsWith(":") ? value : undefined;
  }

  static #fill(headers: RequestHeaders): void {
    const unread = headers.#unread;
    if (unread === undefined) return;
    headers.#unread = undefined;
    for (const [name, value] of Object.entries(unread)) {
      if (value === undefined || name.startsWith(":")) continue;
      for (const one of typeof value === "string" ? [value] : value) headers.append(name, one);
    }
  }

  static {
    const { get } = Headers.prototype;
    const override = (name: string | symbol, method: (this: RequestHeaders, ...args: never[]) => unknown) =>
      Object.defineProperty(RequestHeaders.prototype, name, { value: method, configurable: true, writable: true });
    override("get", function (name: string) {
      const unread = RequestHeaders.#getUnread(this, name);
      if (unread !== undefined) return unread;
      RequestHeaders.#fill(this);
      return get.call(this, name);
    });
    const others = ["append", "delete", "entries", "forEach", "getSetCookie", "has", "keys", "set", "values"] as const;
    for (const name of [...others, Symbol.iterator] as const) {
      const filled = Headers.prototype[name] as (...args: unknown[]) => unknown;
      override(name, function (...args) {
        RequestHeaders.#fill(this);
        return filled.apply(this, args);
      });
    }
  }
}
