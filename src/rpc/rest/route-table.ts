import { type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import { http } from "../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../gen/google/api/http_pb.ts";
import type { Rpc, RpcTable } from "../rpc-table.ts";
import { resolveTextField } from "./fields.ts";
import { type HeaderFields, readHeaderFields } from "./header-fields.ts";
import { type PathTemplate, parseTemplate, type Segment } from "./template.ts";

/** One binding of a google.api.http rule. */
export interface Route {
  /** Of any kind: only gRPC and gRPC-Web can call one that streams its requests. */
  readonly rpc: Rpc;
  /** The HTTP method; `*` for any. */
  readonly method: string;
  /** The template as it was written. */
  readonly pattern: string;
  readonly template: PathTemplate;
  /** For each variable of the template the field it sets, behind the fields that lead to it. */
  readonly pathFields: readonly (readonly DescField[])[];
  /** Which part of the request message is the body; absent: none. */
  readonly body?: "whole" | DescField;
  /** The field of the answer that is sent alone; absent: the whole answer is. */
  readonly responseBody?: DescField;
  /** The fields that are headers. */
  readonly headers: HeaderFields;
}

/** The route that a request takes, with the path's values: percent-decoded, in the order of the route's variables. */
export interface RestTarget {
  readonly route: Route;
  readonly pathValues: readonly string[];
}

/** What a request's method and path lead to. */
export type RouteMatch =
  | ({ readonly kind: "found" } & RestTarget)
  /** The path is known under other methods: these, sorted, with the HEAD and OPTIONS that are implied. */
  | { readonly kind: "wrong_method"; readonly allow: readonly string[] }
  | { readonly kind: "bad_escape" }
  | { readonly kind: "not_found" };

export interface RouteTable {
  readonly routes: readonly Route[];
  /**
   * Finds the route for a raw, still percent-encoded path. The most specific template wins, segment by segment: a literal,
   * then `*`, then `**`. Behind a `**`, segments compare from the end of the path backwards, and a template that ends in `**`
   * comes after all that have segments behind theirs. Among equals, the one of the very method comes before one of `*`. The
   * order of registration never counts. The time is bounded by the number of routes, whatever the path.
   */
  match(method: string, path: string): RouteMatch;
}

/**
 * Compiles the HTTP rules of all RPCs, and reads their option `rest_headers`. Throws an Error, naming the RPC, for what cannot be
 * served, for a field that is not there or cannot be bound, and, naming both RPCs, for two rules of one method and shape or a rule
 * with an RPC's path.
 */
export function createRouteTable(rpcs: RpcTable, reservedPaths: readonly string[] = []): RouteTable {
  const root = new Node();
  const routes: Route[] = [];
  for (const rpc of rpcs.values()) {
    const headers = readHeaderFields(rpc);
    if (!hasOption(rpc.spec.method, http)) continue;
    try {
      for (const rule of bindingsOf(getOption(rpc.spec.method, http))) {
        const route = { ...compileBinding(rpc, rule), headers };
        const path = literalPath(route);
        if (reservedPaths.includes(path))
          throw new Error(`"${route.pattern}" is a path that the server keeps for itself`);
        // Whatever the method: requests to that path are calls of the RPC.
        const taken = rpcs.get(path);
        if (taken !== undefined) throw new Error(`"${route.pattern}" is the path of the RPC ${taken.path}`);
        root.insert(route);
        routes.push(route);
      }
    } catch (cause) {
      throw new Error(`the HTTP rule of ${rpc.path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
  const plain = plainRoutes(routes);
  return { routes, match: (method, path) => plain.get(path)?.get(method) ?? match(root, method, path) };
}

/**
 * The routes whose whole path is literal, by path and method: no route is more specific, so where the method is the same, a
 * search would end at the same one.
 */
function plainRoutes(routes: readonly Route[]): ReadonlyMap<string, ReadonlyMap<string, RouteMatch>> {
  const plain = new Map<string, Map<string, RouteMatch>>();
  for (const route of routes) {
    // A path with a colon or an escape has more than one reading.
    const path = route.pattern;
    if (!/^(\/[\w.~-]+)+$/.test(path)) continue;
    const byMethod = plain.get(path) ?? new Map<string, RouteMatch>();
    plain.set(path, byMethod.set(route.method, { kind: "found", route, pathValues: [] }));
  }
  return plain;
}

function bindingsOf(rule: HttpRule): HttpRule[] {
  const nested = rule.additionalBindings.find((binding) => binding.additionalBindings.length > 0);
  if (nested !== undefined) throw new Error("an additional binding cannot have additional bindings");
  return [rule, ...rule.additionalBindings];
}

function compileBinding(rpc: Rpc, rule: HttpRule): Omit<Route, "headers"> {
  const { method, pattern } = patternOf(rule);
  const template = parseTemplate(pattern);
  const { input, output } = rpc.spec.method;
  const pathFields = template.variables.map(({ fieldPath }) => resolveTextField(input, fieldPath));
  refuseAlternatives(pathFields);
  const body = rule.body === "*" ? "whole" : rule.body === "" ? undefined : topField(input, rule.body, "body");
  // A variable within the body field is set over what the body says there, as any is.
  if (pathFields.some((fields) => fields.length === 1 && fields[0] === body)) {
    throw new Error(`the field ${rule.body} is both the body and in the path`);
  }
  if (body !== undefined && (method === "GET" || method === "HEAD")) throw new Error(`${method} has no body`);
  const responseBody = rule.responseBody === "" ? undefined : topField(output, rule.responseBody, "response_body");
  return {
    rpc,
    method,
    pattern,
    template,
    pathFields,
    ...(body !== undefined && { body }),
    ...(responseBody !== undefined && { responseBody }),
  };
}

/** The path would always set both of two members of a oneof. */
function refuseAlternatives(pathFields: readonly (readonly DescField[])[]): void {
  for (const [index, fields] of pathFields.entries()) {
    for (const other of pathFields.slice(index + 1)) {
      const depth = fields.findIndex((field, at) => field !== other[at]);
      const [a, b] = [fields[depth], other[depth]];
      if (a?.oneof !== undefined && a.oneof === b?.oneof) {
        throw new Error(`the path names the fields ${a.name} and ${b.name}, which are alternatives`);
      }
    }
  }
}

function patternOf({ pattern }: HttpRule): { readonly method: string; readonly pattern: string } {
  if (pattern.case === undefined) throw new Error("a binding needs a method and a path");
  if (pattern.case !== "custom") return { method: pattern.case.toUpperCase(), pattern: pattern.value };
  const { kind, path } = pattern.value;
  // RFC 9110, 5.6.2.
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(kind)) throw new Error(`"${kind}" is no HTTP method`);
  if (kind === "CONNECT" || kind === "TRACE") throw new Error(`${kind} is not for services`);
  return { method: kind, pattern: path };
}

/** Whether an RPC has one request message, as a request of HTTP carries it. */
export const hasOneRequest = ({ spec }: Rpc): boolean => spec.kind === "unary" || spec.kind === "server_streaming";

function topField(message: DescMessage, name: string, what: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${what} names the field ${name}, which ${message.typeName} does not have`);
  return field;
}

/** The only path that a template without wildcards matches; for others, one that no RPC has. */
function literalPath({ template: { segments, verb } }: Route): string {
  const path = segments.map((segment) => (segment.kind === "literal" ? `/${segment.text}` : "/*")).join("");
  return verb === undefined ? path : `${path}:${verb}`;
}

/**
 * One place in the tree of templates. Behind a `**` the tree goes on from the end of the path backwards. So a place is reached
 * by one way only: no search visits one twice, and backtracking costs no more than the tree has places.
 */
class Node {
  readonly #literals = new Map<string, Node>();
  #one: Node | undefined;
  /** What follows a `**`, the last segment first. */
  #rest: Node | undefined;
  /** The routes that end here, by verb, then by method. */
  readonly #ends = new Map<string | undefined, Map<string, Route>>();

  insert(route: Route): void {
    const { segments, verb } = route.template;
    const rest = restOf(route);
    const inOrder = rest === -1 ? segments : [...segments.slice(0, rest + 1), ...segments.slice(rest + 1).reverse()];
    let node: Node = this;
    for (const segment of inOrder) node = node.#next(segment);
    const byMethod = node.#ends.get(verb) ?? new Map<string, Route>();
    const other = byMethod.get(route.method);
    if (other !== undefined) {
      throw new Error(`${route.method} "${route.pattern}" has the method and shape of that of ${other.rpc.path}`);
    }
    node.#ends.set(verb, byMethod.set(route.method, route));
  }

  #next(segment: Segment): Node {
    switch (segment.kind) {
      case "one":
        this.#one ??= new Node();
        return this.#one;
      case "rest":
        this.#rest ??= new Node();
        return this.#rest;
      case "literal": {
        const next = this.#literals.get(segment.text) ?? new Node();
        this.#literals.set(segment.text, next);
        return next;
      }
    }
  }

  /** The routes by method of every template that fits, in the order of its segments: a literal, `*`, `**`. */
  *find(path: Path, depth = 0): Iterable<ReadonlyMap<string, Route>> {
    if (depth === path.segments.length) {
      const ends = this.#ends.get(path.verb);
      if (ends !== undefined) yield ends;
    } else {
      for (const next of this.#fitting(path.texts[depth])) yield* next.find(path, depth + 1);
    }
    if (this.#rest !== undefined) yield* this.#rest.#findBackwards(path, depth, path.segments.length);
  }

  /** The same behind a `**`, which begins at `start`; what is behind `end` has been found to fit. */
  *#findBackwards(path: Path, start: number, end: number): Iterable<ReadonlyMap<string, Route>> {
    if (end > start) {
      for (const next of this.#fitting(path.texts[end - 1])) yield* next.#findBackwards(path, start, end - 1);
    }
    const ends = this.#ends.get(path.verb);
    if (ends !== undefined) yield ends;
  }

  *#fitting(text: string | undefined): Iterable<Node> {
    const literal = text === undefined ? undefined : this.#literals.get(text);
    if (literal !== undefined) yield literal;
    if (this.#one !== undefined) yield this.#one;
  }
}

/** The place of the `**` in a template; -1 where it has none. */
const restOf = ({ template }: Route): number => template.segments.findIndex(({ kind }) => kind === "rest");

interface Path {
  /** Still percent-encoded. */
  readonly segments: readonly string[];
  /** The same, decoded; undefined for one that cannot be. */
  readonly texts: readonly (string | undefined)[];
  readonly verb: string | undefined;
}

function match(root: Node, method: string, path: string): RouteMatch {
  if (!path.startsWith("/")) return { kind: "not_found" };
  const allow = new Set<string>();
  for (const read of readings(path)) {
    // One that ends in `**` waits for one with segments behind its own, wherever the two begin to differ.
    let last: Route | undefined;
    for (const byMethod of root.find(read)) {
      const route = byMethod.get(method) ?? (method === "HEAD" ? byMethod.get("GET") : undefined) ?? byMethod.get("*");
      if (route === undefined) {
        for (const other of byMethod.keys()) allow.add(other);
      } else if (endsInRest(route)) {
        last ??= route;
      } else if (last === undefined || restOf(route) !== -1) {
        return take(route, read);
      }
    }
    if (last !== undefined) return take(last, read);
  }
  if (allow.size === 0) return { kind: "not_found" };
  if (allow.has("GET")) allow.add("HEAD");
  return { kind: "wrong_method", allow: [...allow.add("OPTIONS")].sort() };
}

const endsInRest = ({ template }: Route): boolean => template.segments.at(-1)?.kind === "rest";

/**
 * The text behind the last colon may be a verb, or belong to the value: the templates decide, the verb first. A
 * percent-encoded colon is always part of the value. A path with an empty segment has no reading: it fits no template.
 */
function readings(path: string): readonly Path[] {
  const segments = path === "/" ? [] : path.slice(1).split("/");
  if (segments.includes("")) return [];
  const texts = segments.map(decode);
  const plain = { segments, texts, verb: undefined };
  const last = segments.at(-1) ?? "";
  const colon = last.lastIndexOf(":");
  const verb = colon === -1 ? undefined : decode(last.slice(colon + 1));
  if (verb === undefined || colon === 0) return [plain];
  const value = last.slice(0, colon);
  return [{ segments: segments.with(-1, value), texts: texts.with(-1, decode(value)), verb }, plain];
}

function take(route: Route, { segments, texts }: Path): RouteMatch {
  if (texts.includes(undefined)) return { kind: "bad_escape" };
  const { template } = route;
  const rest = restOf(route);
  // What is behind the `**` is as much further on as that takes more than one segment, or one less.
  const more = segments.length - template.segments.length;
  const place = (index: number): number => (index > rest ? index + more : index);
  const pathValues = template.variables.map(({ start, end, isMultiple }) =>
    isMultiple ? decodeAllButSlashes(segments.slice(place(start), place(end)).join("/")) : (texts[place(start)] ?? ""),
  );
  return { kind: "found", route, pathValues };
}

/** An escaped slash is data, and decoded it would look like one that parts segments. */
function decodeAllButSlashes(raw: string): string {
  return raw
    .split(/(%2f)/i)
    .map((part, index) => (index % 2 === 1 ? part : decodeURIComponent(part)))
    .join("");
}

function decode(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw);
  } catch {
    return undefined;
  }
}
