import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { StoreError } from "../../src/store/errors.ts";
import { organizationRef, type Store } from "../../src/store/store.ts";
import { addCounter, addOrganization, addUser, countUp, passToken } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { makePath, openAt } from "./fixtures/places.ts";

/** A store of 30 events and more, closed. */
async function makeStore(organizations = 10): Promise<string> {
  const path = makePath();
  const store = await openAt(path);
  await Promise.all(
    Array.from({ length: organizations }, async (_, index) => {
      await store.execute(addCounter(`o${index}`));
      await store.execute(countUp(`o${index}`));
    }),
  );
  await store.execute(addUser("u"));
  await store.execute(passToken({ to: "u", tokenId: "t" }));
  await store.close();
  return path;
}

/** What the store says after its rows were changed behind its back. */
async function tamper(sql: string): Promise<{ readonly store: Store; readonly problems: readonly string[] }> {
  const path = await makeStore();
  {
    using db = new DatabaseSync(path);
    db.exec(sql);
  }
  const store = await openAt(path);
  return { store, problems: (await store.verify()).problems };
}

describe("a projection that differs from the events", () => {
  it.each([
    [
      "UPDATE aggregates SET state = json_set(state, '$.name', 'x') WHERE id = 'o1'",
      "The state of organization o1 in the projection differs from its events.",
    ],
    [
      "UPDATE aggregates SET state = 'x' WHERE id = 'o1'",
      "The state of organization o1 in the projection differs from its events.",
    ],
    [
      "UPDATE aggregates SET version = 9 WHERE id = 'o1'",
      "Organization o1 is at version 9 in the projection and at 3 in the events.",
    ],
    [
      "UPDATE aggregates SET position = 7 WHERE id = 'u'",
      "The last event of user u is event 7 in the projection and event 32 in the events.",
    ],
    ["DELETE FROM aggregates WHERE id = 'u'", "User u is missing in the projection."],
    [
      "INSERT INTO aggregates (type, id, version, state) VALUES ('user', 'ghost', 1, '{}')",
      "User ghost is in the projection and has no events.",
    ],
    ["DELETE FROM keys WHERE kind = 'token_id'", "The token_id of user u is missing in the projection."],
    [
      "UPDATE keys SET aggregate_id = 'o2' WHERE value = 'o1'",
      [
        "The organization_name of organization o1 is that of organization o2 in the projection.",
        "A key of kind organization_name points to organization o2, which does not hold it.",
      ],
    ],
    [
      "INSERT INTO keys VALUES ('user_name', 'ghost', 'user', 'u')",
      "A key of kind user_name points to user u, which does not hold it.",
    ],
  ])("is found by verify and repaired by rebuild: %s", async (sql, expected) => {
    const { store, problems } = await tamper(sql);
    expect(problems).toEqual([expected].flat());
    expect(await store.rebuild()).toEqual({ events: 32, aggregates: 11 });
    expect(await store.verify()).toEqual({ problems: [], events: 32, aggregates: 11 });
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });

  it("is no difference where the position is that of an earlier version", async () => {
    const { problems } = await tamper("UPDATE aggregates SET position = 31, position_version = 1 WHERE id = 'u'");
    expect(problems).toEqual([]);
  });

  it("is no difference where only the order of the fields is another", async () => {
    const { problems } = await tamper(`UPDATE aggregates SET digest = NULL, state =
      (SELECT json_group_object(key, json(CASE type WHEN 'object' THEN value ELSE json_quote(value) END))
        FROM (SELECT * FROM json_each(state) WHERE key <> 'removed' ORDER BY key DESC)) WHERE id = 'none'`);
    expect(problems).toEqual([]);
    const reordered = await tamper(
      `UPDATE aggregates SET digest = NULL, state = json_set('{"removed":false,"name":""}', '$.name', 'o1',
        '$.loginPolicy', json(state -> '$.loginPolicy')) WHERE id = 'o1'`,
    );
    expect(reordered.problems).toEqual([]);
  });
});

describe("a broken history", () => {
  it.each([
    [
      "UPDATE events SET position = 99 WHERE position = 32",
      [
        "Event 99 follows event 31: positions have a gap.",
        "Event 99 names event 32 as the first of its append, and the event before it does not.",
        "The last event of user u is event 32 in the projection and event 99 in the events.",
      ],
    ],
    [
      "UPDATE events SET recorded_at = 5 WHERE position = 32",
      ["Event 32 is older than the event before it.", "The state of user u in the projection differs from its events."],
    ],
    ["UPDATE events SET payload = '{' WHERE position = 32", ["Event 32 of user u cannot be read: it is no JSON."]],
    [
      "UPDATE events SET version = 2 WHERE position = 32",
      [
        "Event 32 of user u cannot be read: TokenCreated of version 2 is not known here, and may be of a newer version of the program.",
      ],
    ],
    [
      "UPDATE events SET type = 'UserAdded' WHERE position = 32",
      ["Event 32 of user u, UserAdded, cannot follow those before it."],
    ],
    [
      "UPDATE events SET aggregate_type = 'planet' WHERE position = 32",
      [
        "Event 32 of planet u has sequence 2 instead of 1.",
        "Event 32 of planet u names event 31 as the one before it instead of no event.",
        "Event 32 of planet u cannot be read: TokenCreated of version 1 is not known here, and may be of a newer version of the program.",
        "User u is at version 2 in the projection and at 1 in the events.",
        "A key of kind token_digest points to user u, which does not hold it.",
        "A key of kind token_id points to user u, which does not hold it.",
      ],
    ],
    [
      "UPDATE events SET sequence = 7 WHERE position = 32",
      [
        "Event 32 of user u has sequence 7 instead of 2.",
        "User u is at version 2 in the projection and at 7 in the events.",
      ],
    ],
    [
      "UPDATE events SET sequence = 1 WHERE position = 32",
      [
        "Event 32 of user u has sequence 1 instead of 2.",
        "User u is at version 2 in the projection and at 1 in the events.",
      ],
    ],
    [
      "UPDATE events SET previous = 7 WHERE position = 32",
      ["Event 32 of user u names event 7 as the one before it instead of event 31."],
    ],
    [
      "UPDATE events SET append_position = 7 WHERE position = 32",
      ["Event 32 names event 7 as the first of its append, and the event before it does not."],
    ],
    [
      "UPDATE events SET append_position = 0 WHERE position = 1",
      [
        "Event 1 names event 0 as the first of its append, and the event before it does not.",
        "Event 2 names event 1 as the first of its append, and the event before it does not.",
      ],
    ],
    [
      "UPDATE events SET append_position = 33 WHERE position > 30",
      ["Event 31 names event 33 as the first of its append, and the event before it does not."],
    ],
    ["UPDATE events SET cause = '{' WHERE position = 32", ["The cause of event 32 cannot be read: it is no JSON."]],
    [
      "UPDATE events SET previous = 0 WHERE position = 32",
      ["Event 32 of user u names no event as the one before it instead of event 31."],
    ],
  ])("is found by verify, and rebuild refuses it: %s", async (sql, expected) => {
    const { store, problems } = await tamper(sql);
    expect(problems).toEqual(expected);
    const message = await expectStoreError(store.rebuild(), "corrupt");
    expect(message).toContain(`nothing was rebuilt. ${expected[0]}`);
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });

  it("gives two aggregates one key: verify names both, and rebuild refuses it", async () => {
    const { store, problems } = await tamper(
      "UPDATE events SET payload = json_set(payload, '$.name', 'o1') WHERE type = 'OrganizationAdded' AND aggregate_id = 'o2'",
    );
    expect(problems).toEqual([
      "The state of organization o2 in the projection differs from its events.",
      "A key of kind organization_name points to organization o2, which does not hold it.",
      "The organization_name of organization o2 is that of organization o1 in the projection.",
    ]);
    const message = await expectStoreError(store.rebuild(), "corrupt");
    expect(message).toContain("nothing was rebuilt. Two aggregates hold the same name, token or key");
    expect((await store.verify()).problems).toEqual(problems);
  });

  it("is told in at most a hundred sentences, and one for the rest", async () => {
    const path = await makeStore(60);
    {
      using db = new DatabaseSync(path);
      db.exec("DELETE FROM aggregates; DELETE FROM keys");
    }
    const { problems } = await (await openAt(path)).verify();
    expect(problems).toHaveLength(101);
    expect(problems.at(-1)).toMatch(/^There are \d+ more problems\.$/);
  });
});

describe("a state that cannot be read", () => {
  it("returns corrupt to those who read it, and does not disturb the others", async () => {
    const { store } = await tamper("UPDATE aggregates SET state = '{' WHERE id = 'o1'");
    const message = await expectStoreError(store.read([organizationRef("o1")]), "corrupt");
    expect(message).toContain("The state of organization o1 in the store");
    const settled = await Promise.allSettled([
      store.execute(countUp("o2")),
      store.execute(countUp("o1")),
      store.execute(countUp("o3")),
    ]);
    expect(settled.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    await expectStoreError(store.list("organization"), "corrupt");
  });
});

describe("a projection that is behind the events", () => {
  it("returns conflict after several runs, and the commands beside it are written", async () => {
    const { store } = await tamper("UPDATE aggregates SET digest = NULL, version = 2 WHERE id = 'o1'");
    let runs = 0;
    const command = countUp("o1");
    const behind = store.execute({
      ...command,
      decide(view) {
        runs += 1;
        return command.decide(view);
      },
    });
    const beside = [store.execute(countUp("o2")), store.execute(countUp("o2")), store.execute(countUp("o3"))];
    await expectStoreError(behind, "conflict");
    expect(runs).toBe(5);
    expect((await Promise.all(beside)).map(({ value }) => value)).toEqual([2, 3, 2]);
    expect((await store.verify()).events).toBe(35);
    await store.rebuild();
    expect((await store.execute(countUp("o1"))).value).toBe(2);
  });
});

describe("damaged pages", () => {
  /** Each call either works or says that the store is damaged; nothing else, and no crash. */
  async function exercise(path: string): Promise<readonly string[]> {
    const corrupt: string[] = [];
    const attempt = async (name: string, call: () => Promise<unknown>): Promise<void> => {
      try {
        await call();
      } catch (error) {
        expect(error).toBeInstanceOf(StoreError);
        expect((error as StoreError).code).toBe("corrupt");
        expect((error as StoreError).message).not.toMatch(/SELECT|INSERT|PRAGMA/);
        corrupt.push(name);
      }
    };
    let opened: Store | undefined;
    await attempt("open", async () => {
      opened = await openAt(path);
    });
    const store = opened;
    if (store === undefined) return corrupt;
    await attempt("list", () => store.list("organization"));
    await attempt("read", () => store.read([organizationRef("o5"), { kind: "organization_name", value: "o7" }]));
    await attempt("execute", () => store.execute(addOrganization("new")));
    await attempt("verify", async () => {
      if ((await store.verify()).problems.length > 0) corrupt.push("problems");
    });
    await store.close();
    return corrupt;
  }

  it.each([0xff, 0x00])("are reported, whichever page of the file is filled with %d", async (byte) => {
    const sound = readFileSync(await makeStore(30));
    const pageSize = sound.readUInt16BE(16);
    const path = makePath();
    const outcomes: (readonly string[])[] = [];
    for (let page = 1; page < sound.length / pageSize; page++) {
      const damaged = Buffer.from(sound);
      damaged.fill(byte, page * pageSize, (page + 1) * pageSize);
      writeFileSync(path, damaged);
      outcomes.push(await exercise(path));
    }
    expect(outcomes.length).toBeGreaterThan(10);
    for (const corrupt of outcomes) expect(corrupt).toSatisfy(saysSo);
  });

  it("are reported when the file was cut off", async () => {
    const path = await makeStore(60);
    truncateSync(path, Math.floor(readFileSync(path).length / 2));
    expect(await exercise(path)).toSatisfy(saysSo);
  });

  it("are reported when the first page holds no schema", async () => {
    const path = await makeStore();
    const bytes = readFileSync(path);
    bytes.fill(0xff, 100, 4096);
    writeFileSync(path, bytes);
    expect(await exercise(path)).toEqual(["open"]);
  });
});

/** A damage is noticed when opening fails, or verify finds problems or cannot run for it. */
const saysSo = (corrupt: readonly string[]): boolean =>
  ["open", "problems", "verify"].some((how) => corrupt.includes(how));

describe("a state that cannot be read", () => {
  it("fails the reads of it, and no others that were asked for at the same time", async () => {
    const { store } = await tamper("UPDATE aggregates SET state = 'x' WHERE id = 'o1'");
    const [before, damaged, after] = ["o0", "o1", "o2"].map(async (id) => {
      const ref = organizationRef(id);
      return (await store.read([ref])).get(ref).version;
    });
    await expectStoreError(damaged as Promise<unknown>, "corrupt");
    expect([await before, await after]).toEqual([3, 3]);
  });

  it("is not repeated by the error, which goes to the log", async () => {
    const { store } = await tamper("UPDATE aggregates SET state = 'secret', digest = NULL");
    const error = await store.read([organizationRef("o1")]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "corrupt", cause: { message: "it is no JSON" } });
  });
});
