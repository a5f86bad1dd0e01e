import { type CopyMark, copyMarkRef } from "../store/copy-mark.ts";
import type { Store, View } from "../store/store.ts";
import { createClients } from "./clients.ts";
import type { CommandOptions } from "./command-options.ts";
import { createCredentials } from "./credentials.ts";
import { listPresent } from "./list-present.ts";

const markIn = (view: View) => view.record(copyMarkRef)?.value as CopyMark | undefined;

/** The mark of a copy on which nobody has decided; undefined for any other store. */
export async function readCopyMark(store: Store): Promise<CopyMark | undefined> {
  return markIn(await store.read([copyMarkRef]));
}

/** Removes the mark and keeps all else. Resolves to the mark; undefined if there was none. Of concurrent calls, one gets it. */
export async function keepIssued(store: Store): Promise<CopyMark | undefined> {
  const { value } = await store.execute({
    actor: "cli",
    reads: [copyMarkRef],
    decide(view) {
      const mark = markIn(view);
      return { changes: [], records: mark === undefined ? [] : [{ ref: copyMarkRef, to: undefined }], value: mark };
    },
  });
  return value;
}

/**
 * Ends everything that the built-in issuer has issued, together with its keys, and removes the mark: all of these are records. The
 * issuer makes new keys when it needs them.
 */
export const endIssued = (store: Store): Promise<void> => store.removeRecords();

/** What stays valid when all that was issued has ended: passwords, secrets, keys and tokens. Without those that have expired. */
export async function listCredentials(options: CommandOptions, now: number) {
  const credentials = createCredentials(options);
  const isValid = ({ expiresAt }: { readonly expiresAt?: number }) => expiresAt === undefined || expiresAt > now;
  return {
    users: (await listPresent(options.store, "user")).map(({ id, state: { name, roles, password, secret } }) => ({
      id,
      name,
      roles,
      passwordSetAt: password?.setAt,
      secretSetAt: secret?.setAt,
    })),
    tokens: (await credentials.listTokens()).filter(isValid),
    keys: (await credentials.listKeys()).filter(isValid),
    clients: await createClients(options).list(),
  };
}
