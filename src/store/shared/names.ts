/** Values by kind and name. Maps in a map: one map with a joined text as its key makes a read from memory take 40 % longer (`bench/suites/postgres.ts`). */
export class NameMap<T> {
  #kinds: Map<string, Map<string, T>> | undefined;
  size = 0;

  has(kind: string, name: string): boolean {
    return this.#kinds?.get(kind)?.has(name) ?? false;
  }

  get(kind: string, name: string): T | undefined {
    return this.#kinds?.get(kind)?.get(name);
  }

  put(kind: string, name: string, value: T): void {
    this.#kinds ??= new Map();
    let names = this.#kinds.get(kind);
    if (names === undefined) {
      names = new Map();
      this.#kinds.set(kind, names);
    }
    const before = names.size;
    names.set(name, value);
    this.size += names.size - before;
  }

  delete(kind: string, name: string): void {
    if (this.#kinds?.get(kind)?.delete(name) === true) this.size -= 1;
  }

  /** Takes over what it has no value for. */
  putMissing(from: NameMap<T>): void {
    for (const [kind, names] of from.#kinds ?? []) {
      for (const [name, value] of names) if (!this.has(kind, name)) this.put(kind, name, value);
    }
  }

  /** Removes what the condition is true of. */
  deleteWhere(condition: (value: T) => boolean): void {
    for (const names of this.#kinds?.values() ?? []) {
      for (const [name, value] of names) {
        if (!condition(value)) continue;
        names.delete(name);
        this.size -= 1;
      }
    }
  }

  /** In the order in which names were first put, kind by kind. */
  *values(): Iterable<T> {
    for (const names of this.#kinds?.values() ?? []) yield* names.values();
  }

  clear(): void {
    this.#kinds = undefined;
    this.size = 0;
  }
}
