import type { DescField, DescMessage, Registry } from "@bufbuild/protobuf";
import type { ReflectMessage } from "@bufbuild/protobuf/reflect";
import type { ConnectError } from "@connectrpc/connect";
import { violation } from "../call/violation.ts";
import { fieldNamed, innerMessage, isTextField } from "./fields.ts";
import type { Route } from "./route-table.ts";
import { setByText } from "./text-value.ts";
import { conflict, shown } from "./violations.ts";

/** Deeper than real messages. Without it, a query could nest a recursive message to any depth. */
const maxDepth = 32;

export interface QueryOptions {
  /** Whether parameters that name no field, or one that the path or body sets, are passed over rather than refused. */
  readonly ignoreUnknown: boolean;
  readonly registry: Registry;
}

interface Parameter {
  readonly fields: readonly DescField[];
  readonly texts: string[];
  readonly name: string;
}

/**
 * Sets the fields that a query names: `page.size=3&tag=a&tag=b`, each part of a name in JSON's form or the proto file's. Throws
 * a ConnectError, invalid_argument, that names the parameter: for one that is no field or cannot be set by text, for one
 * that the path or the body sets, for a single value given twice, for a value that does not fit, and for a bad escape.
 */
export function bindQuery(message: ReflectMessage, route: Route, query: string, options: QueryOptions): void {
  const parameters = new Map<string, Parameter>();
  for (const [rawName, rawText] of splitQuery(query)) {
    const name = decode(rawName);
    // What cannot be decoded names no field.
    if (name === undefined && options.ignoreUnknown) continue;
    if (name === undefined) throw badEscape(rawName);
    const fields = findFields(route, name, options);
    if (fields === undefined) continue;
    const text = decode(rawText);
    if (text === undefined) throw badEscape(name);
    const key = fields.map(({ number }) => number).join(".");
    const given = parameters.get(key);
    if (given === undefined) parameters.set(key, { fields, texts: [text], name });
    else if (fields.at(-1)?.fieldKind === "list") given.texts.push(text);
    else throw conflict(name, "it is given twice and has one value");
  }
  for (const parameter of parameters.values()) setByText(message, { ...parameter, registry: options.registry });
}

/** The names and values, in their order and still encoded. */
function splitQuery(query: string): (readonly [name: string, text: string])[] {
  return query
    .split("&")
    .filter((part) => part !== "")
    .map((part) => {
      const equals = part.indexOf("=");
      return equals === -1 ? [part, ""] : [part.slice(0, equals), part.slice(equals + 1)];
    });
}

/** A plus is a space, as forms write it. */
function decode(raw: string): string | undefined {
  try {
    return decodeURIComponent(raw.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function badEscape(name: string): ConnectError {
  const description = "it holds a percent sign that starts no valid UTF-8 escape: write a percent sign as %25";
  return violation(`invalid query parameter ${shown(name)}: ${description}`, { field: name, description });
}

function findFields(
  { rpc, body, pathFields }: Route,
  name: string,
  { ignoreUnknown }: QueryOptions,
): readonly DescField[] | undefined {
  const refuse = (description: string): undefined => {
    if (ignoreUnknown) return undefined;
    throw violation(`unexpected query parameter ${shown(name)}: ${description}`, { field: name, description });
  };
  if (body === "whole") return refuse("the body is the whole request, so there are no query parameters");
  const fields = resolve(rpc.spec.method.input, name);
  if (fields === undefined) return refuse("the request has no such field");
  if (!isTextField(fields.at(-1) as DescField)) return refuse("a field of this kind is set by the body alone");
  if (fields[0] === body) return refuse("the body sets this field");
  if (pathFields.some((bound) => bound.every((field, index) => field === fields[index]))) {
    return refuse("the path sets this field");
  }
  return fields;
}

function resolve(message: DescMessage, name: string): readonly DescField[] | undefined {
  const parts = name.split(".");
  if (parts.length > maxDepth) return undefined;
  const fields: DescField[] = [];
  let within: DescMessage | undefined = message;
  for (const part of parts) {
    const field: DescField | undefined = within && fieldNamed(within, part);
    if (field === undefined) return undefined;
    fields.push(field);
    within = innerMessage(field);
  }
  return fields;
}
