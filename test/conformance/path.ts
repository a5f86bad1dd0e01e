/** How the dispatch serves gRPC, gRPC-Web and Connect: by Connect's own handlers, or directly. */
export type Path = "stock" | "direct";

/** What `--path` says; Connect's own handlers where it is left out. Throws for a path there is not. */
export function readPath(value = "stock"): Path {
  if (value === "stock" || value === "direct") return value;
  throw new Error(`there is no path ${value}: say stock or direct`);
}

/** The options of the dispatch that choose the path: the one place that knows their form. */
export function pathOptions(path: Path) {
  return { path };
}
