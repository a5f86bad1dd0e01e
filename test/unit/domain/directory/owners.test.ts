import { describe, expect, it } from "vitest";
import { checkOwnerStays } from "../../../../src/domain/directory/owners.ts";
import type { UserState } from "../../../../src/domain/states.ts";
import { userOf } from "../../../fixtures/builders.ts";

const now = 1_000;
const token = { tokenId: "1", digest: "d", createdAt: 0 };
const key = { keyId: "2", publicKey: "p", createdAt: 0 };
const owner = (wanted: Partial<UserState> = {}) =>
  userOf({ roles: [{ role: "IAM_OWNER" }], tokens: [token], ...wanted });

interface Case {
  readonly title: string;
  readonly before: UserState;
  readonly after: UserState;
  readonly others?: readonly UserState[];
}

const refused: readonly Case[] = [
  { title: "the last owner is removed", before: owner(), after: owner({ removed: true }) },
  { title: "the last owner loses the role", before: owner(), after: owner({ roles: [] }) },
  {
    title: "the last owner keeps another role of the instance",
    before: owner(),
    after: owner({ roles: [{ role: "IAM_OWNER_VIEWER" }] }),
  },
  { title: "the last owner loses the only token", before: owner(), after: owner({ tokens: [] }) },
  {
    title: "the last owner keeps a token that has ended",
    before: owner({ tokens: [token, { ...token, expiresAt: now }] }),
    after: owner({ tokens: [{ ...token, expiresAt: now }] }),
  },
  {
    title: "the last owner loses the only key",
    before: owner({ tokens: [], keys: [key] }),
    after: owner({ tokens: [], keys: [] }),
  },
  {
    title: "the last owner keeps a key that has ended",
    before: owner(),
    after: owner({ tokens: [], keys: [{ ...key, expiresAt: now - 1 }] }),
  },
  {
    title: "every other owner was removed, has lost the role, or has no way in",
    before: owner(),
    after: owner({ tokens: [] }),
    others: [
      owner({ removed: true }),
      userOf({ roles: [{ role: "ORG_OWNER", organizationId: "1" }], tokens: [token] }),
      owner({ tokens: [] }),
      owner({ tokens: [{ ...token, expiresAt: now }] }),
    ],
  },
];

const allowed: readonly Case[] = [
  { title: "another owner has a token", before: owner(), after: owner({ removed: true }), others: [owner()] },
  {
    title: "another owner has a token that ends later",
    before: owner(),
    after: owner({ removed: true }),
    others: [owner({ tokens: [{ ...token, expiresAt: now + 1 }] })],
  },
  {
    title: "a key is left",
    before: owner({ keys: [key] }),
    after: owner({ tokens: [], keys: [key] }),
  },
  {
    title: "a password is left",
    before: owner({ password: { hash: "h", setAt: 0 } }),
    after: owner({ tokens: [], password: { hash: "h", setAt: 0 } }),
  },
  {
    title: "a secret is left",
    before: owner({ secret: { digest: "d", setAt: 0 } }),
    after: owner({ tokens: [], secret: { digest: "d", setAt: 0 } }),
  },
  {
    title: "what goes had ended already",
    before: owner({ tokens: [{ ...token, expiresAt: now }] }),
    after: owner({ tokens: [] }),
  },
  { title: "the user is no owner", before: userOf({ tokens: [token] }), after: userOf({ removed: true }) },
  { title: "nobody could sign in before either", before: owner({ tokens: [] }), after: owner({ removed: true }) },
];

describe("checkOwnerStays", () => {
  it.each(refused)("refuses where $title", ({ before, after, others = [] }) => {
    expect(() => checkOwnerStays({ before, after, others, now })).toThrow(
      expect.objectContaining({ code: "owner_last", message: expect.stringMatching(/^ada is the last.*--force$/) }),
    );
  });

  it.each(allowed)("lets go where $title", ({ before, after, others = [] }) => {
    expect(() => checkOwnerStays({ before, after, others, now })).not.toThrow();
  });
});
