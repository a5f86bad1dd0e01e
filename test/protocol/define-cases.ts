import type { JsonValue } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, createClients } from "../fixtures/clients.ts";
import { sample, sampleNote } from "../fixtures/sample.ts";
import { startTestServer, type TestServer } from "../fixtures/server.ts";
import type { Case } from "./case.ts";
import { accessCases } from "./cases/access.ts";
import { factorCases } from "./cases/factors.ts";
import { policyCases } from "./cases/policies.ts";

/** A protocol on a path that it can take. */
export interface Way {
  readonly protocol: string;
  readonly path: string;
  readonly stockHandlers: boolean;
}

const unknownOrganization = "404404404404404404";

export interface CasesOptions {
  /** Makes an empty store, and resolves to its location. */
  readonly location: () => Promise<string>;
  /** Whether each case goes only one of the ways, in turn; all of them in `npm run test:all`. */
  readonly isSampled?: boolean;
}

/** Every case of the wire API, each on a server of its own. */
export function defineCases(ways: readonly Way[], { location, isSampled = false }: CasesOptions): void {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });

  describe.each([
    ["factors", factorCases],
    ["policies", policyCases],
    ["access", accessCases],
  ] as const)("%s", (_, cases) => {
    describe.each(ways)(`over $protocol, on the $path path${isSampled ? ` (${sampleNote})` : ""}`, (way) => {
      const each = isSampled ? ways.length : 1;
      it.each(sample(cases, { each, offset: ways.indexOf(way) }))("$name", async (given) => {
        const { server, client } = await prepare(given, way, { location: await location(), opened });
        const organizations = {
          default: server.defaultOrganization,
          other: server.other,
          unknown: unknownOrganization,
          "": "",
        };
        const { header, ofCaller } = given.organization ?? {};
        const caller = given.caller ?? "IAM_OWNER";
        const headers: Record<string, string> = {};
        if (typeof caller === "object") headers["authorization"] = caller.authorization;
        else if (caller !== "nobody") {
          const organizationId = ofCaller && organizations[ofCaller];
          headers["authorization"] =
            `Bearer ${await server.createCaller(caller, organizationId ? { organizationId } : {})}`;
        }
        if (header !== undefined) headers["x-zitadel-orgid"] = organizations[header];

        const answer = await client.call({ ...given.when, headers });

        const { want } = given;
        if ("body" in want) {
          expect({ code: answer.code, message: answer.message, body: withoutOwnValues(answer.body, server) }).toEqual({
            code: 0,
            message: "",
            body: want.body,
          });
          expect(answer.policyHeader).toBe(want.copied ? "created" : undefined);
        } else {
          const message = want.id === undefined ? want.text : `${want.text} (${want.id})`;
          const type = "type.googleapis.com";
          const details = [
            ...(want.id === undefined
              ? []
              : [{ "@type": `${type}/zitadel.v1.ErrorDetail`, id: want.id, message: want.text }]),
            ...(want.field === undefined
              ? []
              : [
                  {
                    "@type": `${type}/google.rpc.BadRequest`,
                    fieldViolations: [expect.objectContaining({ field: want.field })],
                  },
                ]),
          ];
          expect(answer).toMatchObject({ code: want.code, message, details });
          expect(answer.policyHeader).toBeUndefined();
        }
        if (answer.httpStatus !== undefined) expect(answer.httpStatus).toBe("body" in want ? 200 : want.http);
        expect(server.failures).toEqual([]);
      });
    });
  });
}

async function prepare(
  given: Case,
  { protocol, stockHandlers }: Way,
  { location, opened }: { readonly location: string; readonly opened: { close(): unknown }[] },
): Promise<{ server: TestServer & { other: string }; client: Client }> {
  const server = await startTestServer({ stockHandlers, location });
  opened.push(server);
  const other = (await server.directory.addOrganization("Other")).id;
  const clients = createClients(server.url);
  opened.push(...clients);
  const client = clients.find((candidate) => candidate.protocol === protocol);
  if (client === undefined) throw new Error(`no client speaks ${protocol}`);
  for (const call of given.given ?? []) {
    const answer = await client.call({ ...call, headers: { authorization: `Bearer ${server.adminToken}` } });
    expect(answer, `given ${call.method.name}`).toMatchObject({ code: 0 });
  }
  return { server: { ...server, other }, client };
}

/** The answer with its times and ids replaced by what they stand for. */
function withoutOwnValues(body: JsonValue | undefined, server: TestServer & { other: string }): unknown {
  const ids: Record<string, string> = {
    [server.instanceId]: "<instance>",
    [server.defaultOrganization]: "<default>",
    [server.other]: "<other>",
  };
  return JSON.parse(JSON.stringify(body), (key, value) => {
    if (key === "processedSequence") return /^[1-9]\d*$/.test(value) ? "<position>" : value;
    if (typeof value !== "string") return value;
    if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value)) return "<time>";
    return ids[value] ?? value;
  });
}
