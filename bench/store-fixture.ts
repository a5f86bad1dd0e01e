import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createCredentials } from "../src/application/credentials.ts";
import { createDirectory } from "../src/application/directory.ts";
import { createIdSource } from "../src/application/ids.ts";
import { setUp } from "../src/application/set-up.ts";
import { digestToken, generateToken } from "../src/auth/token.ts";
import { defaultLoginPolicy } from "../src/domain/login-policy/settings.ts";
import { openStore } from "../src/store/open.ts";
import { organizationRef, type Store } from "../src/store/store.ts";

/** Organizations of one command, and commands at once: large transactions, and none that keeps the thread long. */
const perCommand = 250;
const commandsAtOnce = 16;

/** The id of an organization by its number. As real ids do, they grow in the order in which they were made. */
export const organizationId = (index: number): string => String(200_000_000_000_000_000n + BigInt(index));

export const storeLocation = (directory: string): string => `sqlite:${join(directory, "portcullis.db")}`;

/**
 * Makes a store as the first start of a server would, with further organizations that have policies of their own. All of it
 * goes through the store's contract, so it is what a server would have written. Resolves to the admin's token.
 */
export async function makeStore(directory: string, organizations: number): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const store = await openStore({ location: storeLocation(directory) });
  try {
    return await fillStore(store, organizations);
  } finally {
    await store.close();
  }
}

/** Adds a user who may only read, to a store that was made. Resolves to their token. */
export async function addViewer(directory: string): Promise<string> {
  const store = await openStore({ location: storeLocation(directory) });
  try {
    const asBench = { store, newId: createIdSource(Date.now), actor: "bench" };
    const token = generateToken();
    await createDirectory(asBench).addUser({ name: "viewer", role: "IAM_OWNER_VIEWER" });
    await createCredentials(asBench).createToken({ userName: "viewer", digest: digestToken(token) });
    return token;
  } finally {
    await store.close();
  }
}

/** The same in an empty store that is open. */
export async function fillStore(store: Store, organizations: number): Promise<string> {
  const token = generateToken();
  await setUp({ store, newId: createIdSource(Date.now), actor: "setup" }, digestToken(token));
  let next = 0;
  const fill = async () => {
    while (next < organizations) {
      const first = next;
      next = Math.min(first + perCommand, organizations);
      await addOrganizations(store, { first, end: next });
    }
  };
  await Promise.all(Array.from({ length: commandsAtOnce }, fill));
  return token;
}

async function addOrganizations(
  store: Store,
  { first, end }: { readonly first: number; readonly end: number },
): Promise<void> {
  const added = Array.from({ length: end - first }, (_, offset) => {
    const ref = organizationRef(organizationId(first + offset));
    return { ref, name: `Organization ${first + offset}` };
  });
  await store.execute({
    actor: "bench",
    reads: added.map(({ ref }) => ref),
    decide: () => ({
      changes: added.map(({ ref, name }) => ({
        ref,
        events: [
          { type: "OrganizationAdded", version: 1, payload: { name } },
          { type: "LoginPolicyAdded", version: 1, payload: defaultLoginPolicy },
        ],
      })),
      value: undefined,
    }),
  });
}
