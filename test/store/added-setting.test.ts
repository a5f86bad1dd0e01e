// What it takes to add a setting to login policies: a version of this program that has one, on stores that this one wrote.
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { evolve, uniqueKeysOf } from "../../src/domain/evolve.ts";
import { updateCustomLoginPolicy } from "../../src/domain/login-policy/decide.ts";
import type { LoginPolicySettings } from "../../src/domain/login-policy/settings.ts";
import { createUpcast, steps } from "../../src/domain/upcast.ts";
import { openStore } from "../../src/store/open.ts";
import { openPostgresStore } from "../../src/store/postgres/engine.ts";
import { openSqliteStore } from "../../src/store/sqlite/engine.ts";
import { type Command, organizationRef, type RecordedEvent, type Store } from "../../src/store/store.ts";
import { type Postgres, startPostgres } from "../fixtures/postgres.ts";
import { addCounter } from "./fixtures/commands.ts";
import { expectStoreError } from "./fixtures/errors.ts";
import { collect, given } from "./fixtures/iterables.ts";
import { makePath } from "./fixtures/places.ts";

let postgres: Postgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

interface LaterSettings extends LoginPolicySettings {
  readonly requireBadge: boolean;
}
const addedSettings: Partial<LaterSettings> = { requireBadge: false };
const add = (settings: object): object => ({ ...addedSettings, ...settings });
const addToPolicy = (policy: { readonly settings: object }): object => ({ ...policy, settings: add(policy.settings) });

/** How the later version makes sense of what is stored: its events with settings are of version 2. */
const projection = {
  evolve,
  uniqueKeysOf,
  upcast: createUpcast({
    addedSettings,
    steps: {
      ...steps,
      organization: { ...steps.organization, LoginPolicyChanged: [add], LoginPolicyAdded: [addToPolicy] },
    },
  }),
};

const ref = organizationRef("a");

const settingsOf = async (store: Store): Promise<LaterSettings> => {
  const settings = (await store.read([ref])).get(ref).state?.loginPolicy?.settings;
  return settings as LaterSettings;
};

/** The later version's Update. */
function update(change: Partial<LaterSettings>): Command<void> {
  return {
    actor: "test",
    reads: [ref],
    decide(view) {
      const policy = view.get(ref).state?.loginPolicy;
      const wanted = { ...policy?.settings, ...change } as LaterSettings;
      const events = updateCustomLoginPolicy(policy, wanted).map((event) => ({ ...event, version: 2 }) as never);
      return { changes: [{ ref, events }], value: undefined };
    },
  };
}

interface Place {
  readonly openToday: () => Promise<Store>;
  readonly openLater: () => Promise<Store>;
}

const places: Readonly<Record<string, () => Promise<Place>>> = {
  async SQLite() {
    const path = makePath();
    return {
      openToday: () => openStore({ location: `sqlite:${path}` }),
      openLater: () => openSqliteStore(path, { projection, clock: Date.now, busyTimeoutMs: 5000 }),
    };
  },
  async PostgreSQL() {
    const location = await postgres.createDatabase();
    return {
      openToday: () => openStore({ location }),
      openLater: () => openPostgresStore(location, { projection, clock: Date.now }),
    };
  },
};

async function during<T>(open: () => Promise<Store>, use: (store: Store) => Promise<T>): Promise<T> {
  const store = await open();
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

const exported = (store: Store): Promise<readonly RecordedEvent[]> =>
  store.export((history) => collect(history.events()));

describe.each(Object.entries(places))("a setting that is added to policies in %s", (_, makePlace) => {
  it("is there in policies from before it, and can be updated by itself", async () => {
    const { openToday, openLater } = await makePlace();
    await during(openToday, (store) => store.execute(addCounter("a")));
    const store = await openLater();
    onTestFinished(() => store.close());
    expect((await settingsOf(store)).requireBadge).toBe(false);
    expect((await store.verify()).problems).toEqual([]);
    await expect(store.execute(update({ requireBadge: false }))).rejects.toMatchObject({
      code: "org_update_unchanged",
    });
    await store.execute(update({ requireBadge: true }));
    expect((await settingsOf(store)).requireBadge).toBe(true);
    expect((await store.verify()).problems).toEqual([]);
    await store.rebuild();
    expect((await settingsOf(store)).requireBadge).toBe(true);
    expect((await store.verify()).problems).toEqual([]);
  });

  it("is kept by export and import, with the versions of the events", async () => {
    const [from, to] = [await makePlace(), await makePlace()];
    await during(from.openToday, (store) => store.execute(addCounter("a")));
    const events = await during(from.openLater, async (store) => {
      await store.execute(update({ requireBadge: true }));
      return exported(store);
    });
    expect(events.map(({ event }) => event.version)).toEqual([1, 1, 2]);
    await during(to.openLater, async (store) => {
      await store.import(given(events), async () => {});
      expect(await exported(store)).toEqual(events);
      expect((await settingsOf(store)).requireBadge).toBe(true);
      expect((await store.verify()).problems).toEqual([]);
    });
  });

  it("is named, with its event, where this version is to read it", async () => {
    const [place, empty] = [await makePlace(), await makePlace()];
    await during(place.openToday, (store) => store.execute(addCounter("a")));
    await during(place.openLater, (store) => store.execute(update({ requireBadge: true })));
    const sentence =
      "Event 3 of organization a cannot be read: LoginPolicyChanged of version 2 is not known here, and may be of a " +
      "newer version of the program.";
    const events = await during(place.openToday, async (store) => {
      expect((await store.verify()).problems).toEqual([sentence]);
      expect(await expectStoreError(store.rebuild(), "corrupt")).toContain(sentence);
      return exported(store);
    });
    await during(empty.openToday, async (store) => {
      const importing = store.import(given(events), async () => {});
      await expect(importing).rejects.toMatchObject({ code: "corrupt", message: sentence });
    });
  });
});
