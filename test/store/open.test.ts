import { describe, expect, it } from "vitest";
import { openStore, parseLocation } from "../../src/store/open.ts";
import { expectStoreError } from "./fixtures/errors.ts";

describe("parseLocation", () => {
  it.each([
    ["memory:", { engine: "memory", address: "" }],
    ["sqlite:data/store.db", { engine: "sqlite", address: "data/store.db" }],
    ["sqlite:/var/lib/store.db", { engine: "sqlite", address: "/var/lib/store.db" }],
    ["sqlite:///var/lib/store.db", { engine: "sqlite", address: "///var/lib/store.db" }],
    ["sqlite:C:\\data\\store.db", { engine: "sqlite", address: "C:\\data\\store.db" }],
    ["postgres://ada@host/db", { engine: "postgres", address: "postgres://ada@host/db" }],
    ["postgresql://host/db", { engine: "postgres", address: "postgresql://host/db" }],
    ["sqlite:with space?#%.db", { engine: "sqlite", address: "with space?#%.db" }],
  ])("reads %s", (location, parsed) => {
    expect(parseLocation(location)).toEqual(parsed);
  });

  it.each([
    "",
    "store.db",
    "sqlite:",
    "sqlite://host/store.db",
    "sqlite::memory:",
    "memory:x",
    "sqlite:a\0b",
    "file:a",
  ])("refuses %j", async (location) => {
    const message = await expectStoreError(openStore({ location }), "unavailable");
    expect(message).toMatch(/is not understood: give sqlite:PATH, memory: or postgres:\/\/… instead\.$/);
  });

  it("repeats no more than the scheme of what it refuses", async () => {
    const message = await expectStoreError(openStore({ location: "postgres://ada:secret@host/db" }), "unavailable");
    expect(message).toContain("postgres:");
    expect(message).not.toContain("secret");
  });
});
