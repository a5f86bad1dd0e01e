import { describe, expect, it } from "vitest";
import { openStore, parseLocation } from "../../src/store/open.ts";
import { expectStoreError } from "./fixtures/errors.ts";

describe("parseLocation", () => {
  it.each([
    ["memory:", { engine: "memory" }],
    ["sqlite:data/store.db", { engine: "sqlite", path: "data/store.db" }],
    ["sqlite:/var/lib/store.db", { engine: "sqlite", path: "/var/lib/store.db" }],
    ["sqlite:///var/lib/store.db", { engine: "sqlite", path: "///var/lib/store.db" }],
    ["sqlite:C:\\data\\store.db", { engine: "sqlite", path: "C:\\data\\store.db" }],
    ["sqlite:with space?#%.db", { engine: "sqlite", path: "with space?#%.db" }],
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
