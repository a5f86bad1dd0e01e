import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { readComments } from "../../../../src/rpc/openapi/comments.ts";

const nested = { name: "Part", field: [{ name: "size" }] };
const color = { name: "Color", value: [{ name: "RED" }, { name: "BLUE" }] };
const thing = { name: "Thing", field: [{ name: "id" }, { name: "part" }], nestedType: [nested], enumType: [color] };

const setOf = (...location: { path: number[]; leadingComments?: string; trailingComments?: string }[]) =>
  toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, {
      file: [
        {
          name: "thing.proto",
          package: "test",
          messageType: [{ name: "Other" }, { ...thing, extension: [{ name: "inner" }] }],
          enumType: [color],
          service: [{ name: "Things", method: [{ name: "Get" }, { name: "List" }] }],
          extension: [{ name: "outer" }],
          ...(location.length > 0 && { sourceCodeInfo: { location } }),
        },
      ],
    }),
  );

describe("readComments", () => {
  it.each([
    { path: [4, 1], name: "test.Thing" },
    { path: [4, 1, 2, 1], name: "test.Thing.part" },
    { path: [4, 1, 3, 0], name: "test.Thing.Part" },
    { path: [4, 1, 3, 0, 2, 0], name: "test.Thing.Part.size" },
    { path: [4, 1, 4, 0], name: "test.Thing.Color" },
    { path: [4, 1, 4, 0, 2, 1], name: "test.Thing.Color.BLUE" },
    { path: [4, 1, 6, 0], name: "test.Thing.inner" },
    { path: [5, 0], name: "test.Color" },
    { path: [5, 0, 2, 0], name: "test.Color.RED" },
    { path: [6, 0], name: "test.Things" },
    { path: [6, 0, 2, 1], name: "test.Things.List" },
    { path: [7, 0], name: "test.outer" },
  ])("finds that of $name", ({ path, name }) => {
    expect(readComments(setOf({ path, leadingComments: " What it is.\n" }))).toEqual({ [name]: "What it is." });
  });

  it("takes what stands behind where nothing stands before, and sorts by name", () => {
    const comments = readComments(
      setOf(
        { path: [6, 0], leadingComments: " Before.\n", trailingComments: " Behind.\n" },
        { path: [4, 0], trailingComments: " Behind.\n" },
      ),
    );
    expect(Object.entries(comments)).toEqual([
      ["test.Other", "Behind."],
      ["test.Things", "Before."],
    ]);
  });

  it("makes one line of a paragraph", () => {
    const leadingComments = " First line,\r\n second line.\n\n\n Second paragraph.\n";
    expect(readComments(setOf({ path: [4, 0], leadingComments }))).toEqual({
      "test.Other": "First line, second line.\n\nSecond paragraph.",
    });
  });

  it("says how to make a set that has comments", () => {
    expect(() => readComments(setOf())).toThrow(/--include_source_info/);
  });
});
