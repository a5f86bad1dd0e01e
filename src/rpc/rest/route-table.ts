import { type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import type { MethodImplSpec } from "@connectrpc/connect";
import { http } from "../../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../../gen/google/api/http_pb.ts";
import type { Rpc, RpcTable } from "../router.ts";
import { parseTemplate, type Segment } from "./template.ts";

/** An RPC as its google.api.http rule offers it. */
export interface Route {
  readonly rpc: Rpc & { readonly spec: MethodImplSpec & { readonly kind: "unary" } };
  readonly verb: string;
  readonly segments: readonly Segment[];
  /** The fields that the path's variables set, in the order of the variables. */
  readonly pathFields: readonly DescField[];
  /** Whether the request body is the message (`body: "*"`). Where it is not, the body is never read. */
  readonly hasBody: boolean;
}

/** What a request's verb and path lead to. */
export type RouteMatch =
  | { readonly kind: "found"; readonly route: Route; readonly pathValues: readonly string[] }
  /** The path is known under other verbs: these. */
  | { readonly kind: "wrong_verb"; readonly allow: readonly string[] }
  | { readonly kind: "bad_escape" }
  | { readonly kind: "not_found" };

/** Finds the route of a verb and a raw, still percent-encoded path. */
export type MatchRoute = (verb: string, path: string) => RouteMatch;

/**
 * Compiles the HTTP rules of all RPCs. Throws an Error, naming the RPC, for a rule that is not understood, for a field that
 * the request message does not have, and for two rules of the same shape.
 */
export function createRouteTable(rpcs: RpcTable): MatchRoute {
  const root = new Node();
  for (const rpc of rpcs.values()) {
    if (!hasOption(rpc.spec.method, http)) continue;
    try {
      const route = compile(rpc, getOption(rpc.spec.method, http));
      const taken = route.verb === "POST" ? rpcs.get(pathOf(route)) : undefined;
      if (taken !== undefined) throw new Error(`has the path of the RPC ${taken.path}`);
      root.insert(route);
    } catch (cause) {
      throw new Error(`the HTTP rule of ${rpc.path}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    }
  }
  return (verb, path) => match(root, verb, path);
}

function compile(rpc: Rpc, rule: HttpRule): Route {
  const { spec } = rpc;
  if (spec.kind !== "unary") throw new Error("only unary RPCs are served as REST");
  if (rule.additionalBindings.length > 0) throw new Error("additional bindings are not supported");
  if (rule.responseBody !== "") throw new Error("response_body is not supported");
  if (rule.body !== "" && rule.body !== "*") throw new Error(`the body must be "*" or absent, not "${rule.body}"`);
  if (rule.pattern.case === undefined || rule.pattern.case === "custom") throw new Error("it needs a standard verb");
  const segments = parseTemplate(rule.pattern.value);
  const pathFields = segments.flatMap((segment) =>
    segment.kind === "variable" ? [scalarField(spec.method.input, segment.field)] : [],
  );
  return {
    rpc: { ...rpc, spec },
    verb: rule.pattern.case.toUpperCase(),
    segments,
    pathFields,
    hasBody: rule.body === "*",
  };
}

const pathOf = ({ segments }: Route): string =>
  segments.map((segment) => (segment.kind === "literal" ? `/${segment.text}` : "/{}")).join("");

function scalarField(message: DescMessage, name: string): DescField {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${message.typeName} has no field ${name}`);
  if (field.fieldKind !== "scalar" && field.fieldKind !== "enum") {
    throw new Error(`field ${name} of ${message.typeName} is neither a scalar nor an enum`);
  }
  return field;
}

/** One place in the tree of paths. Literals are tried before the variable, with backtracking. */
class Node {
  readonly literals = new Map<string, Node>();
  variable: Node | undefined;
  /** By verb. */
  readonly routes = new Map<string, Route>();

  insert(route: Route): void {
    let node: Node = this;
    for (const segment of route.segments) {
      if (segment.kind === "variable") {
        node.variable ??= new Node();
        node = node.variable;
      } else {
        const next: Node = node.literals.get(segment.text) ?? new Node();
        node.literals.set(segment.text, next);
        node = next;
      }
    }
    const other = node.routes.get(route.verb);
    if (other !== undefined) throw new Error(`has the same verb and path as that of ${other.rpc.path}`);
    node.routes.set(route.verb, route);
  }

  /** Every node that the segments lead to, the most specific first, with what its variables took. */
  *find(segments: readonly string[], depth = 0): Iterable<{ node: Node; taken: readonly number[] }> {
    const segment = segments[depth];
    if (segment === undefined) {
      if (this.routes.size > 0) yield { node: this, taken: [] };
      return;
    }
    const literal = this.literals.get(segment);
    if (literal !== undefined) yield* literal.find(segments, depth + 1);
    if (this.variable !== undefined && segment !== "") {
      for (const { node, taken } of this.variable.find(segments, depth + 1)) yield { node, taken: [depth, ...taken] };
    }
  }
}

function match(root: Node, verb: string, path: string): RouteMatch {
  if (!path.startsWith("/")) return { kind: "not_found" };
  const segments = path.slice(1).split("/");
  const allow = new Set<string>();
  for (const { node, taken } of root.find(segments)) {
    const route = node.routes.get(verb);
    if (route === undefined) {
      for (const other of node.routes.keys()) allow.add(other);
      continue;
    }
    try {
      return { kind: "found", route, pathValues: taken.map((index) => decodeURIComponent(segments[index] as string)) };
    } catch {
      return { kind: "bad_escape" };
    }
  }
  return allow.size > 0 ? { kind: "wrong_verb", allow: [...allow].sort() } : { kind: "not_found" };
}
