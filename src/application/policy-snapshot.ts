import { instanceRef, type Store, type View } from "../store/store.ts";
import { type AppliedPolicy, appliedTo } from "./applied-policy.ts";
import { instanceIn } from "./set-up.ts";
import type { WatchedChanges } from "./watched-changes.ts";

const pageSize = 100;

/**
 * The policies that applied at the position of a view, which contains the instance, by pages; one page at least. Organizations that are
 * added or removed meanwhile may be there or not.
 */
export async function* snapshotPolicies(
  wanted: { readonly instance: boolean; readonly organizations: readonly string[] | "all" },
  { store, changes, view }: { readonly store: Store; readonly changes: WatchedChanges; readonly view: View },
): AsyncGenerator<readonly AppliedPolicy[]> {
  const inherited = instanceIn(view).loginPolicy;
  let page: AppliedPolicy[] = wanted.instance ? [appliedTo(instanceRef, { inherited, organization: undefined })] : [];
  for await (const organization of listOrganizations(store, wanted.organizations)) {
    const { ref: subject, state, position = 0 } = organization;
    if (state === undefined || state.removed) continue;
    if (page.length === pageSize) {
      yield page;
      page = [];
    }
    const isAsThen = position <= view.position;
    const then = isAsThen ? undefined : await changes.appliedAt(subject, view.position);
    page.push(then ?? appliedTo(subject, { inherited, organization: isAsThen ? state : undefined }));
  }
  yield page;
}

async function* listOrganizations(store: Store, ids: readonly string[] | "all") {
  if (ids !== "all") {
    for (let at = 0; at < ids.length; at += pageSize) {
      const refs = ids.slice(at, at + pageSize).map((id) => ({ type: "organization", id }) as const);
      const view = await store.read(refs);
      for (const ref of refs) yield view.get(ref);
    }
    return;
  }
  for (let after: string | undefined; ; ) {
    const page = await store.list("organization", { ...(after !== undefined && { after }), limit: pageSize });
    yield* page;
    after = page.at(-1)?.ref.id;
    if (page.length < pageSize) return;
  }
}
