import { describe, expect, it } from "vitest";
import type { Caller } from "../../../src/auth/caller.ts";
import { createIdentifyAgain } from "../../../src/auth/identify-again.ts";

/** Counts how often each token was looked up. */
function counting() {
  const asked: string[] = [];
  let now = 0;
  const again = createIdentifyAgain(
    async (token) => {
      asked.push(token);
      if (token === "revoked") throw new Error(token);
      const caller: Caller = { userId: `${token} ${asked.length}`, organizationId: "1", roles: [] };
      return { caller };
    },
    () => now,
  );
  return {
    asked,
    again,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe("createIdentifyAgain", () => {
  it("looks once for all who ask with a token within a second", async () => {
    const { asked, again, pass } = counting();
    const found = await Promise.all([again("a", 7), again("b", 7), again("a", 7), again("a", 6)]);
    pass(999);
    found.push(await again("a", 7));
    expect(found.map(({ userId }) => userId)).toEqual(["a 1", "b 2", "a 1", "a 1", "a 1"]);
    expect(asked).toEqual(["a", "b"]);
  });

  it("looks again after a second, and for who has seen a later event", async () => {
    const { asked, again, pass } = counting();
    await again("a", 7);
    await again("a", 8);
    await again("a", 8);
    expect(asked).toHaveLength(2);
    pass(1_000);
    await again("a", 8);
    expect(asked).toHaveLength(3);
  });

  it("rejects for all who share a look", async () => {
    const { asked, again } = counting();
    for (const refused of [again("revoked", 1), again("revoked", 1)]) await expect(refused).rejects.toThrow("revoked");
    expect(asked).toHaveLength(1);
  });
});
