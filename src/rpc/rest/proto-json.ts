import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";
import { fieldNamed, wrappedScalar } from "./fields.ts";
import { isDuration, isFieldMask, isTimestamp, readScalar, scalarForm } from "./scalar-json.ts";
import { shown } from "./violations.ts";

/** The place where JSON does not fit its message, and why. The path has wire names, and is empty for the whole. */
export class Misfit extends Error {
  readonly path: string;

  constructor(path: string, description: string) {
    super(description);
    this.path = path;
  }
}

/** What one value of a field is, or one item of a list or map. */
export type ValueType = Partial<Pick<DescField, "scalar" | "enum" | "message">>;

/**
 * Checks JSON against protobuf's own form (ProtoJSON) of a message, and returns it as protobuf-es takes it. Throws a Misfit for
 * the first field that does not fit, or does not exist.
 */
export const checkMessage = (desc: DescMessage, json: JsonValue, registry: Registry): JsonValue =>
  new Checker(registry).message(desc, json, "");

/** The same for one value. */
export const checkValue = (type: ValueType, json: JsonValue, registry: Registry): JsonValue =>
  new Checker(registry).value(type, json, "");

class Checker {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  value(type: ValueType, json: JsonValue, path: string): JsonValue {
    if (type.message !== undefined) return this.message(type.message, json, path);
    const value = type.enum === undefined ? readScalar(type.scalar as ScalarType, json) : readEnum(type.enum, json);
    if (value === undefined) throw unfit(type, path);
    return value;
  }

  message(desc: DescMessage, json: JsonValue, path: string): JsonValue {
    const wrapped = wrappedScalar(desc);
    if (wrapped !== undefined) return json === null ? null : this.value({ scalar: wrapped }, json, path);
    const special = specialForms.get(desc.typeName);
    if (special !== undefined) {
      if (!special.isOne(json)) throw unfit({ message: desc }, path);
      return json;
    }
    if (!isObject(json)) throw unfit({ message: desc }, path);
    return desc.typeName === anyName ? this.#any(desc, json, path) : this.#fields(desc, json, path);
  }

  #fields(desc: DescMessage, json: JsonObject, path: string): JsonObject {
    const prefix = path === "" ? "" : `${path}.`;
    const given = new Set<DescField>();
    const set = new Set<DescField>();
    // Without a prototype, so that `__proto__` is a name like any.
    const checked = Object.create(null) as JsonObject;
    for (const name of Object.keys(json)) {
      const field = fieldNamed(desc, name) ?? this.#extension(desc, name);
      if (field === undefined) throw new Misfit(prefix + shown(name), "the message has no such field");
      const place = prefix + field.name;
      if (given.has(field)) throw new Misfit(place, "it is given under both of its names");
      given.add(field);
      const value = json[name] as JsonValue;
      // Null is a field that is not set, but where it is a value.
      if (value === null && (field.fieldKind === "list" || field.fieldKind === "map" || !hasNull(field))) continue;
      set.add(field);
      checked[name] = this.#field(field, value, place);
    }
    for (const { fields } of desc.oneofs) {
      const [first, second] = fields.filter((field) => set.has(field));
      if (first !== undefined && second !== undefined) {
        throw new Misfit(prefix + second.name, `it and ${first.name} are alternatives: send one of them`);
      }
    }
    return checked;
  }

  #extension(desc: DescMessage, name: string): DescField | undefined {
    const extension = /^\[.+\]$/.test(name) ? this.#registry.getExtension(name.slice(1, -1)) : undefined;
    return extension?.extendee.typeName === desc.typeName ? (extension as unknown as DescField) : undefined;
  }

  #field(field: DescField, json: JsonValue, path: string): JsonValue {
    if (field.fieldKind === "map") return this.#map(field, json, path);
    if (field.fieldKind !== "list") return this.value(field, json, path);
    if (!Array.isArray(json)) throw new Misfit(path, `send a list, of which each item is ${formOf(field)}`);
    return json.map((item, index) => this.#item(field, item, `${path}[${index}]`));
  }

  #map(field: DescField & { readonly fieldKind: "map" }, json: JsonValue, path: string): JsonObject {
    if (!isObject(json)) throw new Misfit(path, `send an object, of which each value is ${formOf(field)}`);
    const entries = Object.entries(json).map(([key, value]) => {
      if (!isMapKey(field.mapKey, key))
        throw new Misfit(path, `send keys that are ${scalarForm(field.mapKey)}, as texts`);
      return [key, this.#item(field, value, `${path}.${shown(key)}`)] as const;
    });
    return Object.fromEntries(entries);
  }

  #item(field: DescField, json: JsonValue, path: string): JsonValue {
    if (json === null && !hasNull(field)) throw unfit(field, path);
    return this.value(field, json, path);
  }

  #any(desc: DescMessage, json: JsonObject, path: string): JsonObject {
    if (Object.keys(json).length === 0) return json;
    const { "@type": type, ...members } = json;
    const known =
      typeof type === "string" ? this.#registry.getMessage(type.slice(type.lastIndexOf("/") + 1)) : undefined;
    if (known === undefined) throw unfit({ message: desc }, path);
    const anyOf = { "@type": type as string };
    if (!hasOwnForm(known)) return { ...anyOf, ...this.#fields(known, members, path) };
    // A type with a JSON form of its own is a value beside its name.
    const place = path === "" ? "value" : `${path}.value`;
    if (members["value"] === undefined) throw new Misfit(place, `send ${messageForm(known)}`);
    return { ...json, value: this.message(known, members["value"], place) };
  }
}

const unfit = (type: ValueType, path: string): Misfit => new Misfit(path, `send ${formOf(type)}`);

/** In words, with an example. */
export function formOf(type: ValueType): string {
  if (type.message !== undefined) return messageForm(type.message);
  return type.enum === undefined ? scalarForm(type.scalar as ScalarType) : enumForm(type.enum);
}

interface SpecialForm {
  isOne(json: unknown): boolean;
  readonly form: string;
}

const textForm = (isOne: (text: string) => boolean, form: string): SpecialForm => ({
  isOne: (json) => typeof json === "string" && isOne(json),
  form,
});

const ofNumbers = "whose numbers are at most 1.8e308";

/** The messages whose JSON form is not an object of their fields, except wrappers and Any. */
const specialForms: ReadonlyMap<string, SpecialForm> = new Map([
  ["google.protobuf.Timestamp", textForm(isTimestamp, 'a time of RFC 3339, such as "2026-01-31T12:00:00Z"')],
  ["google.protobuf.Duration", textForm(isDuration, 'a duration in seconds, such as "3600s" or "1.5s"')],
  ["google.protobuf.FieldMask", textForm(isFieldMask, 'names of fields, such as "name,address.postalCode"')],
  ["google.protobuf.Struct", { isOne: (json) => isObject(json) && isFree(json), form: `an object ${ofNumbers}` }],
  ["google.protobuf.ListValue", { isOne: (json) => Array.isArray(json) && isFree(json), form: `a list ${ofNumbers}` }],
  ["google.protobuf.Value", { isOne: isFree, form: `any JSON ${ofNumbers}` }],
]);
const anyName = "google.protobuf.Any";

const hasOwnForm = (desc: DescMessage): boolean =>
  specialForms.has(desc.typeName) || desc.typeName === anyName || wrappedScalar(desc) !== undefined;

function messageForm(desc: DescMessage): string {
  const wrapped = wrappedScalar(desc);
  if (wrapped !== undefined) return scalarForm(wrapped);
  if (desc.typeName === anyName) return 'an object whose "@type" names a message that this server knows';
  return specialForms.get(desc.typeName)?.form ?? `an object with the fields of ${desc.name}`;
}

/** More names do not help in a sentence. */
const maxNames = 20;

function enumForm(desc: DescEnum): string {
  // What says nothing is seldom what is wanted.
  const all = desc.values.map(({ name }) => name);
  const telling = all.filter((name) => !name.endsWith("_UNSPECIFIED"));
  const names = telling.length > 0 ? telling : all;
  if (names.length > maxNames) return `one of the ${names.length} names of ${desc.name} in ${desc.file.proto.name}`;
  return names.length > 1 ? `one of ${names.join(", ")}` : names.join();
}

/** A name, or a number; of a closed enum one that it has. */
function readEnum(desc: DescEnum, json: JsonValue): JsonValue | undefined {
  if (json === null) return desc.typeName === nullName ? null : undefined;
  if (typeof json === "string") {
    return desc.values.some(({ name, jsonName }) => json === name || json === jsonName) ? json : undefined;
  }
  const isKnown = desc.open || desc.values.some(({ number }) => number === json);
  return isKnown && typeof json === "number" ? readScalar(ScalarType.INT32, json) : undefined;
}

const nullName = "google.protobuf.NullValue";

/** Whether null is a value of the type. */
const hasNull = ({ message, enum: desc }: ValueType): boolean =>
  message?.typeName === "google.protobuf.Value" || desc?.typeName === nullName;

function isMapKey(type: ScalarType, key: string): boolean {
  if (type === ScalarType.BOOL) return key === "true" || key === "false";
  if (type === ScalarType.STRING) return key.isWellFormed();
  return /^-?\d+$/.test(key) && readScalar(type, key) !== undefined;
}

/** Whether every number is one. */
function isFree(json: unknown): boolean {
  if (Array.isArray(json)) return json.every(isFree);
  if (typeof json === "object" && json !== null) return Object.values(json).every(isFree);
  return typeof json !== "bigint";
}

const isObject = (json: unknown): json is JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json);
