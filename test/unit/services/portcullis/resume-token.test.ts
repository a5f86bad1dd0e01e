import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { EventMark } from "../../../../src/application/watched-changes.ts";
import { readResumeToken, resumeToken } from "../../../../src/services/portcullis/resume-token.ts";
import { instanceRef, organizationRef } from "../../../../src/store/store.ts";

const mark: EventMark = { position: 7, ref: organizationRef("1"), sequence: 3, recordedAt: 1000, actor: "ada" };
const storeWith = (found: EventMark | undefined, instanceId = "i") => ({
  instanceId,
  markAt: async (position: number) => (position === found?.position ? found : undefined),
});
const token = (cursor: { position: number; subject?: string } = { position: 7 }) =>
  resumeToken({ instanceId: "i", cursor, mark: cursor.position === 0 ? undefined : mark });
const textOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a resume token", () => {
  it.each([{ position: 7 }, { position: 7, subject: "" }, { position: 7, subject: "1" }, { position: 0 }])(
    "resumes where it was given: %j",
    async (cursor) => {
      expect(token(cursor)).toMatch(/^[\w-]+$/);
      expect(await readResumeToken(token(cursor), storeWith(mark))).toEqual(cursor);
    },
  );

  it.each([
    ["another instance", storeWith(mark, "j")],
    ["no event there", storeWith(undefined)],
    ["an event of another aggregate", storeWith({ ...mark, ref: instanceRef })],
    ["another place in the stream", storeWith({ ...mark, sequence: 4 })],
    ["another time", storeWith({ ...mark, recordedAt: 1001 })],
    ["another actor", storeWith({ ...mark, actor: "eve" })],
  ])("does not match %s", async (_, store) => {
    await expect(readResumeToken(token(), store)).rejects.toMatchObject({ code: Code.OutOfRange });
  });

  it("from before the first event does not match another instance", async () => {
    const read = readResumeToken(token({ position: 0 }), storeWith(undefined, "j"));
    await expect(read).rejects.toMatchObject({ code: Code.OutOfRange });
  });

  it.each([
    "nonsense",
    textOf({}),
    textOf([]),
    textOf([2, "i", 7, "d"]),
    textOf([1, "i", -1, "d"]),
    textOf([1, "i", 1.5, "d"]),
    textOf([1, "i", "7", "d"]),
    textOf([1, 2, 7, "d"]),
    textOf([1, "i", 7, null]),
    textOf([1, "i", 7, "d", 1]),
    textOf([1, "i", 7, "d", "1", "2"]),
  ])("is not %s", async (text) => {
    await expect(readResumeToken(text, storeWith(mark))).rejects.toMatchObject({ code: Code.InvalidArgument });
  });
});
