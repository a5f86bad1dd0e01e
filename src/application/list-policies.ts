import type { OrganizationState } from "../domain/states.ts";
import { instanceRef, organizationRef, type Snapshot, type Store } from "../store/store.ts";
import { type AppliedPolicy, appliedTo } from "./applied-policy.ts";
import { instanceIn } from "./set-up.ts";

/** A page looks at no more organizations, whatever its filter leaves of them. */
const mostLookedAt = 5000;
/** How many are read at once, so that others get their turn between. */
const readAtOnce = 500;

export interface PolicyFilter {
  readonly origin?: "own" | "inherited" | undefined;
  /** What the names of the organizations begin with. The list is in the order of the names then. */
  readonly nameStartsWith?: string | undefined;
}

export interface PolicyListPage extends PolicyFilter {
  /** The organizations that may be shown. */
  readonly readable: readonly string[] | "all";
  /** Of the page before. */
  readonly after: string | undefined;
  readonly limit: number;
}

interface Found {
  /** What the list is ordered by: the id, or the name. */
  readonly key: string;
  readonly organization: Snapshot<"organization">;
}

/** The policies that apply to organizations, by id or by name. `next` is where the next page begins; absent on the last one. */
export async function listPolicies(
  store: Store,
  page: PolicyListPage,
): Promise<{ readonly policies: readonly AppliedPolicy[]; readonly next?: string }> {
  const { origin, limit } = page;
  const policies: AppliedPolicy[] = [];
  const { loginPolicy: inherited } = instanceIn(await store.read([instanceRef]));
  const { nameStartsWith, readable } = page;
  let { after } = page;
  for (let looked = 0; looked < mostLookedAt; ) {
    const wanted = Math.min(
      readAtOnce,
      mostLookedAt - looked,
      origin === undefined ? limit + 1 - policies.length : readAtOnce,
    );
    const found = await readPage(store, { nameStartsWith, readable, after, limit: wanted });
    for (const { key, organization } of found) {
      looked += 1;
      const { state } = organization;
      const isWanted =
        state !== undefined &&
        !state.removed &&
        (origin === undefined || (state.loginPolicy === undefined) === (origin === "inherited"));
      // One more than the page shows whether there is a next one.
      if (isWanted && policies.length === limit) return { policies, ...(after !== undefined && { next: after }) };
      if (isWanted) policies.push(appliedTo(organization.ref, { inherited, organization: state }));
      after = key;
    }
    if (found.length < wanted) return { policies };
  }
  return { policies, ...(after !== undefined && { next: after }) };
}

async function readPage(
  store: Store,
  page: Pick<PolicyListPage, "nameStartsWith" | "readable" | "after" | "limit">,
): Promise<readonly Found[]> {
  const { nameStartsWith, readable, after, limit } = page;
  const afterKey = after === undefined ? {} : { after };
  if (readable !== "all") return readSome(store, { ...page, readable });
  if (nameStartsWith === undefined) {
    const all = await store.list("organization", { ...afterKey, limit });
    return all.map((organization) => ({ key: organization.ref.id, organization }));
  }
  const named = await store.listByKey("organization_name", { startsWith: nameStartsWith, ...afterKey, limit });
  return named.map(({ value, snapshot }) => ({ key: value, organization: snapshot as Snapshot<"organization"> }));
}

/** The same for the few organizations of a caller's grants. */
async function readSome(
  store: Store,
  {
    nameStartsWith,
    readable,
    after,
    limit,
  }: Pick<PolicyListPage, "nameStartsWith" | "after" | "limit"> & { readonly readable: readonly string[] },
): Promise<readonly Found[]> {
  const refs = readable.map(organizationRef);
  const view = await store.read(refs);
  const keyOf = (organization: Snapshot<"organization">) =>
    nameStartsWith === undefined ? organization.ref.id : (organization.state as OrganizationState).name;
  return refs
    .map((ref) => view.get(ref))
    .filter(({ state }) => state !== undefined && !state.removed && state.name.startsWith(nameStartsWith ?? ""))
    .map((organization) => ({ key: keyOf(organization), organization }))
    .filter(({ key }) => after === undefined || compareBytes(key, after) > 0)
    .sort((a, b) => compareBytes(a.key, b.key))
    .slice(0, limit);
}

const compareBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** How many organizations inherit the instance's policy, and the names of the first that may be shown. Reads them all, by pages. */
export async function countInheriting(
  store: Store,
  { mostNames, mayShow }: { readonly mostNames: number; readonly mayShow: (organizationId: string) => boolean },
): Promise<{ readonly count: number; readonly names: readonly string[] }> {
  let count = 0;
  const names: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await store.list("organization", { ...(after !== undefined && { after }), limit: readAtOnce });
    for (const { ref, state } of page) {
      if (state === undefined || state.removed || state.loginPolicy !== undefined) continue;
      count += 1;
      if (names.length < mostNames && mayShow(ref.id)) names.push(state.name);
    }
    after = page.at(-1)?.ref.id;
    if (page.length < readAtOnce) return { count, names };
  }
}
