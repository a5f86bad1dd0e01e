import { describe, expect, it } from "vitest";
import { chooseEncoding, chooseMediaType } from "../../../../src/rpc/rest/negotiation.ts";

const json = "application/json";
const lines = "application/x-ndjson";
const events = "text/event-stream";

describe("chooseMediaType", () => {
  it.each<[accept: string | undefined, chosen: string | undefined]>([
    [undefined, json],
    ["", json],
    [" , ,", json],
    ["*/*", json],
    ["application/*", json],
    [json, json],
    ["APPLICATION/JSON", json],
    ["application/json; charset=utf-8", json],
    ["application/json;q=0.001", json],
    ["application/json; profile=x; q=0.5", json],
    ["text/html, application/xhtml+xml, */*;q=0.8", json],
    ["text/html,*/*;q=0.1", json],
    ["application/json;q=1.000", json],
    ["text/html", undefined],
    ["text/*", undefined],
    ["application/xml, text/html;q=0.9", undefined],
    ["application/json;q=0", undefined],
    ["application/json;q=0.000", undefined],
    // The most specific range counts, wherever it stands.
    ["*/*, application/json;q=0", undefined],
    ["application/json;q=0, */*", undefined],
    ["application/*;q=0, */*", undefined],
    ["application/*;q=0, application/json", json],
    ["*/*;q=0", undefined],
    // A weight that is none.
    ["application/json;q=2", undefined],
    ["application/json;q=-1", undefined],
    ["application/json;q=x", undefined],
    ["application/json;q=", undefined],
    ["application/json;q=0.1234", undefined],
    ["application/json;Q=0", undefined],
    ["application", undefined],
    ["application/json/x", undefined],
    ["*", undefined],
    ["*/json", undefined],
    ["application/vnd.api+json", undefined],
  ])("of %j is %s", (accept, chosen) => {
    expect(chooseMediaType(accept, [json])).toBe(chosen);
  });

  it.each<[accept: string | undefined, chosen: string | undefined]>([
    [undefined, lines],
    ["*/*", lines],
    ["application/*", lines],
    ["text/*", events],
    [events, events],
    [json, json],
    [`${json}, ${events}`, json],
    [`${json};q=0.5, ${events}`, events],
    [`${json};q=0.5, ${events};q=0.4`, json],
    [`${events}, */*;q=0.1`, events],
    [`${lines};q=0, */*`, json],
    ["application/*;q=0.5, text/*;q=0.6", events],
    ["text/html", undefined],
  ])("of %j among several is %s", (accept, chosen) => {
    expect(chooseMediaType(accept, [lines, json, events])).toBe(chosen);
  });
});

describe("chooseEncoding", () => {
  it.each<[acceptEncoding: string | undefined, chosen: string]>([
    [undefined, "identity"],
    ["", "identity"],
    ["identity", "identity"],
    ["gzip", "gzip"],
    ["GZIP", "gzip"],
    ["br", "br"],
    ["gzip, deflate, br", "br"],
    ["gzip, br", "br"],
    ["gzip;q=1.0, br;q=0.9", "gzip"],
    ["gzip;q=0.8, br;q=0.8", "br"],
    ["gzip ; q=0.5", "gzip"],
    ["gzip;q=0", "identity"],
    ["gzip;q=0, br;q=0", "identity"],
    ["*", "br"],
    ["*;q=0.5, gzip", "gzip"],
    ["*, br;q=0", "gzip"],
    ["*;q=0", "identity"],
    ["*;q=0, gzip;q=0.1", "gzip"],
    ["deflate", "identity"],
    ["zstd, deflate", "identity"],
    ["x-gzip", "identity"],
    // What is sent as it is may be wanted more, or as much.
    ["gzip;q=0.5, identity", "identity"],
    ["identity;q=0.5, gzip;q=0.4", "identity"],
    ["identity;q=0.5, gzip", "gzip"],
    ["gzip, identity", "gzip"],
    // Nothing else is left to send.
    ["identity;q=0", "identity"],
    ["gzip;q=x", "identity"],
  ])("of %j is %s", (acceptEncoding, chosen) => {
    expect(chooseEncoding(acceptEncoding, ["br", "gzip"])).toBe(chosen);
  });
});
