// RequestHeaders (src/rpc/call/request-headers.ts) reads single fields from what Node parsed, and is to be a Headers in every other
// respect: whatever is done to it, in whatever order, comes to the same as with a Headers that holds the same fields.
import { randomInt } from "node:crypto";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http";
import { expect, it } from "vitest";
import { RequestHeaders } from "../../src/rpc/call/request-headers.ts";
import { type Random, randomOf } from "../fixtures/random-messages.ts";
import { answer, open, rawClient, session2 } from "./listener-clients.ts";

const seed = Number(process.env["PORTCULLIS_FUZZ_SEED"] ?? randomInt(1_000_000_000));

/** What a server got, and a Headers filled from it field by field, as it came over the wire. */
interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly plain: () => Headers;
}

/** Sends fields as they are, and shows them as a handler of the listener sees them. */
async function receive(version: 1 | 2, sent: readonly (readonly [name: string, value: string])[]): Promise<Received> {
  const seen = Promise.withResolvers<Received>();
  const listener = await open({
    handler(request, response) {
      const { headers, rawHeaders } = request;
      seen.resolve({
        headers,
        plain() {
          const plain = new Headers();
          for (let index = 0; index < rawHeaders.length; index += 2) {
            const name = rawHeaders[index] ?? "";
            if (!name.startsWith(":")) plain.append(name, rawHeaders[index + 1] ?? "");
          }
          return plain;
        },
      });
      answer(response, "");
    },
  });
  if (version === 1) {
    const lines = ["GET / HTTP/1.1", "host: h", ...sent.map(([name, value]) => `${name}: ${value}`)];
    const { socket } = await rawClient(listener);
    socket.write(Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"));
    return seen.promise;
  }
  const session = session2(listener);
  const fields = [[":path", "/"] as const, ...sent].flatMap(([name, value]) => [name.toLowerCase(), value]);
  const stream = session.request(fields as never);
  stream.resume();
  await once(stream, "end");
  return seen.promise;
}

const fields = [
  ["accept", "text/html, */*;q=0.1"],
  ["Authorization", "Bearer abc"],
  ["cookie", "a=1; b=2"],
  ["cookie", "c=3"],
  ["Set-Cookie", "a=1; Path=/"],
  ["Set-Cookie", "b=2; Expires=Wed, 21 Oct 2015 07:28:00 GMT"],
  ["X-Several", "one"],
  ["x-several", "two, three"],
  ["X-SEVERAL", "four"],
  ["x-empty", ""],
  ["x-latin", "caf\u00e9 \u00ff"],
  ["x-tab", "a\tb"],
  ["x-bin", "AAH/"],
  ["x-bin", "dHdv"],
  ["5", "a name of digits"],
  ["constructor", "c"],
  ["tostring", "t"],
  ["hasOwnProperty", "h"],
  ["undefined", "u"],
  ["null", "n"],
  ["Content-Type", "application/json; charset=utf-8"],
  ["user-agent", "one"],
] as const;

const names: readonly string[] = [
  ...fields.map(([name]) => name),
  ...fields.map(([name]) => name.toUpperCase()),
  ...["x-absent", "X-New", "host", "__proto__", "prototype", "toString", "valueOf", ":path", ":authority"],
  ...["", " ", "a b", "a:b", "x-several ", "é", "x\n", "x\u0000", "\u0100"],
];
const values: readonly unknown[] = [
  "",
  "one",
  " spaced\t",
  "a, b",
  "caf\u00e9",
  "\u0100",
  "a\nb",
  "a\u0000b",
  5,
  null,
  undefined,
];

interface Step {
  readonly says: string;
  readonly run: (headers: Headers) => unknown;
}

function randomStep({ pick, below }: Random): Step {
  const name = pick(names);
  const value = pick(values) as string;
  const says = (method: string, ...args: unknown[]) =>
    `${method}(${args.map((arg) => (typeof arg === "symbol" ? "Symbol" : JSON.stringify(arg))).join(", ")})`;
  const stop = below(6);
  const steps: readonly Step[] = [
    { says: says("get", name), run: (headers) => headers.get(name) },
    { says: says("has", name), run: (headers) => headers.has(name) },
    { says: says("set", name, value), run: (headers) => headers.set(name, value) },
    { says: says("append", name, value), run: (headers) => headers.append(name, value) },
    { says: says("delete", name), run: (headers) => headers.delete(name) },
    { says: "getSetCookie()", run: (headers) => headers.getSetCookie() },
    { says: "entries()", run: (headers) => [...headers.entries()] },
    { says: "keys()", run: (headers) => [...headers.keys()] },
    { says: "values()", run: (headers) => [...headers.values()] },
    { says: "iteration", run: (headers) => [...headers] },
    { says: "Object.fromEntries", run: (headers) => Object.fromEntries(headers) },
    { says: "new Headers", run: (headers) => [...new Headers(headers)] },
    { says: "new Request", run: (headers) => [...new Request("http://h", { headers }).headers] },
    {
      says: "forEach()",
      run(headers) {
        const seen: unknown[] = [];
        const owner = {};
        headers.forEach(function (this: unknown, text, key, parent) {
          seen.push([text, key, parent === headers, this === owner]);
        }, owner);
        return seen;
      },
    },
    {
      says: `deletes while it iterates, and stops after ${stop}`,
      run(headers) {
        const seen: string[] = [];
        for (const [key] of headers) {
          seen.push(key);
          if (seen.length === stop) headers.delete(key);
          if (seen.length > stop) break;
        }
        return seen;
      },
    },
    { says: "append(name)", run: (headers) => (headers.append as (name: string) => unknown)("x-several") },
    { says: "forEach(undefined)", run: (headers) => headers.forEach(undefined as never) },
    { says: "its kind", run: (headers) => [headers instanceof Headers, Object.prototype.toString.call(headers)] },
  ];
  return pick(steps);
}

/** What a step comes to; of an error, what kind it is. */
function outcomeOf(step: Step, headers: Headers): unknown {
  try {
    return { returned: step.run(headers) };
  } catch (error) {
    return { thrown: (error as Error).constructor.name };
  }
}

it.each([1, 2] as const)(
  `is a Headers in all it does, over HTTP/%d (PORTCULLIS_FUZZ_SEED=${seed})`,
  async (version) => {
    const { headers, plain } = await receive(version, fields);
    for (let round = 0; round < 2_000; round += 1) {
      const random = randomOf(seed, version, round);
      const ours = new RequestHeaders(headers);
      const theirs = plain();
      const taken: string[] = [];
      for (let count = 1 + random.below(6); count > 0; count -= 1) {
        const step = randomStep(random);
        taken.push(step.says);
        expect(outcomeOf(step, ours), taken.join("; ")).toEqual(outcomeOf(step, theirs));
      }
      expect([...ours], taken.join("; ")).toEqual([...theirs]);
    }
  },
);

it.each([1, 2] as const)("reads every field alone, in any letter case, over HTTP/%d", async (version) => {
  const { headers, plain } = await receive(version, fields);
  for (const [name] of fields) {
    for (const one of [name, name.toLowerCase(), name.toUpperCase()]) {
      expect(new RequestHeaders(headers).get(one), one).toBe(plain().get(one));
    }
  }
});

it("knows no field by what objects inherit, over HTTP/1.1", async () => {
  const { headers } = await receive(1, []);
  for (const name of ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf", "isPrototypeOf"]) {
    expect(new RequestHeaders(headers).get(name), name).toBeNull();
    expect(new RequestHeaders(headers).has(name), name).toBe(false);
  }
});

it.each([1, 2] as const)("takes a field named __proto__ for a field or for none, over HTTP/%d", async (version) => {
  const { headers } = await receive(version, [
    ["__proto__", "p"],
    ["x-own", "1"],
  ]);
  const ours = new RequestHeaders(headers);
  // Node drops it over HTTP/1.1.
  expect([null, "p"]).toContain(ours.get("__proto__"));
  expect(ours.has("__proto__")).toBe(new RequestHeaders(headers).get("__proto__") !== null);
  expect(ours.get("x-own")).toBe("1");
  expect(({} as Record<string, unknown>)["p"]).toBeUndefined();
});

it("takes names that are no strings for their text", async () => {
  const { headers, plain } = await receive(1, fields);
  for (const name of [5, null, undefined, { toString: () => "x-several" }] as never[]) {
    expect(new RequestHeaders(headers).get(name)).toBe(plain().get(name));
  }
});

it("is filled once: what is taken away stays away", async () => {
  const { headers } = await receive(1, [["x-own", "1"]]);
  const ours = new RequestHeaders(headers);
  ours.delete("x-own");
  expect(ours.get("x-own")).toBeNull();
  ours.append("x-own", "2");
  expect(ours.get("X-Own")).toBe("2");
  expect(headers["x-own"]).toBe("1");
});

it("does not show through a copy", async () => {
  const { headers } = await receive(1, [["x-own", "1"]]);
  const ours = new RequestHeaders(headers);
  const copy = new Headers(ours);
  copy.set("x-own", "2");
  expect(ours.get("x-own")).toBe("1");
});
