import type { IncomingHttpHeaders } from "node:http";

/** Of the names that Headers take, those that are common. */
const isFieldName = (name: unknown): name is string => typeof name === "string" && /^[A-Za-z][A-Za-z0-9-]*$/.test(name);

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

  /** The value of a field, null where there is none; undefined where only the filled object can say. */
  static #getUnread(headers: RequestHeaders, name: string): string | null | undefined {
    if (headers.#unread === undefined || !isFieldName(name)) return undefined;
    const lower = name.toLowerCase();
    if (!Object.hasOwn(headers.#unread, lower)) return null;
    const value = headers.#unread[lower];
    return typeof value === "string" ? value : undefined;
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
