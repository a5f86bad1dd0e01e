/** How the dispatch serves unary calls of gRPC, gRPC-Web and Connect: by Connect's own handlers, or directly. */
export type Path = "stock" | "direct";

/** What `--path` says; the direct one where it is left out. Throws for a path there is not. */
export function readPath(value = "direct"): Path {
  if (value === "stock" || value === "direct") return value;
  throw new Error(`there is no path ${value}: say stock or direct`);
}

/** The options of the dispatch that choose the path: the one place that knows their form. */
export function pathOptions(path: Path) {
  return { stockHandlers: path === "stock" };
}
