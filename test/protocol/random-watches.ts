// Random writes and watches that break off, on servers of one store that may end at any moment.
import { setImmediate as turn } from "node:timers/promises";
import type { Store } from "../../src/store/store.ts";
import { readChanges } from "../store/fixtures/pages.ts";
import { bearer, clientOf, instanceName, nameOf, watch } from "./watching.ts";

/** What the last change sets. */
const last = "https://example.com/last";

export interface RandomWatches {
  /** A server that serves now, as far as is known. */
  pick(): Promise<{ readonly url: string }>;
  readonly token: string;
  readonly random: () => number;
  /** The organizations that are written to; the last change is of the first one. */
  readonly organizations: readonly string[];
  /** Where the watches begin. */
  readonly began: string;
}

/** Changes policies one after the other, and makes the last change when it is told to; `between` may end servers. */
export async function writeRandomly(
  { pick, token, random, organizations }: RandomWatches,
  wanted: { readonly count: number; between?(index: number): Promise<void>; readonly isLast: boolean },
): Promise<void> {
  const { count, between, isLast } = wanted;
  const names = [instanceName, ...organizations.map(nameOf)];
  for (let index = 0; index < count; index += 1) {
    const name = names[Math.floor(random() * names.length)] as string;
    const call = clientOf(await pick());
    const values = { forceMfa: random() < 0.5, allowRegister: index % 2 === 0 };
    const change =
      random() < 0.2 && name !== instanceName
        ? call.resetLoginPolicy({ name }, bearer(token))
        : call.updateLoginPolicy({ loginPolicy: { name, ...values } }, bearer(token));
    // A server that ends may cut it off.
    await change.catch(() => {});
    await between?.(index);
  }
  const loginPolicy = { name: names[1] as string, defaultRedirectUri: last };
  while (isLast) {
    try {
      await clientOf(await pick()).updateLoginPolicy({ loginPolicy }, bearer(token));
      return;
    } catch {
      await turn();
    }
  }
}

/** The revisions that a client sees up to the last change. It leaves now and then, and resumes from one of its last answers. */
export async function watchRandomly({ pick, token, random, began }: RandomWatches, names: string[]): Promise<string[]> {
  const tokens = [began];
  const found = new Map<string, string>();
  for (;;) {
    const resumeToken = tokens[Math.max(0, tokens.length - 1 - Math.floor(random() * 3))] as string;
    const watching = watch(await pick(), token, { names, resumeToken });
    try {
      for (let left = Math.floor(random() * 10); left >= 0; left -= 1) {
        const answer = await watching.next();
        if (answer.event.case !== "change") continue;
        tokens.push(answer.resumeToken);
        const { revision, loginPolicy } = answer.event.value;
        found.set(answer.resumeToken, revision);
        if (loginPolicy?.defaultRedirectUri === last) return [...found.values()];
      }
    } catch {
      // Its server ended.
      await turn();
    }
    watching.leave();
  }
}

/** What watches of everything, and of one organization, should have seen: the history says it. */
export async function wantedRevisions(store: Store, organization: string) {
  const wanted = { everything: [] as string[], named: [] as string[] };
  let isOwn = false;
  const { events } = await readChanges(store, { after: 0, types: ["instance", "organization"], limit: 1000 });
  for (const [index, { ref, event, append, sequence }] of events.entries()) {
    if (event.type.startsWith("Organization") || event.type === "InstanceCreated") continue;
    if (ref.id === organization) isOwn = event.type !== "LoginPolicyRemoved";
    if (events[index + 1]?.append === append) continue;
    const revision = `${ref.type === "instance" ? instanceName : nameOf(ref.id)}/revisions/${sequence}`;
    wanted.everything.push(revision);
    if (ref.id === organization || (ref.type === "instance" && !isOwn)) wanted.named.push(revision);
  }
  return wanted;
}
