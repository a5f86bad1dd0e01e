import { expect, it, onTestFinished } from "vitest";
import { createPolicyHistory } from "../../../src/application/policy-history.ts";
import { snapshotPolicies } from "../../../src/application/policy-snapshot.ts";
import { createWatchedChanges } from "../../../src/application/watched-changes.ts";
import type { OrganizationEvent } from "../../../src/domain/events.ts";
import { openStore } from "../../../src/store/open.ts";
import { instanceRef, organizationRef } from "../../../src/store/store.ts";
import { event, policyOf } from "../../fixtures/builders.ts";

it("shows policies as they were at the position of the view, whatever is written while it is read", async () => {
  const store = await openStore({ location: "memory:" });
  onTestFinished(() => store.close());
  const write = (ref: { readonly type: "instance" | "organization"; readonly id: string }, ...events: object[]) =>
    store.execute({
      actor: "ada",
      reads: [ref],
      decide: () => ({ changes: [{ ref, events: events as OrganizationEvent[] }], value: undefined }),
    });
  await write(instanceRef, event.instanceCreated());
  const ids = Array.from({ length: 150 }, (_, index) => String(1000 + index));
  for (const id of ids) await write(organizationRef(id), event.organizationAdded(id));
  await write(organizationRef("1149"), event.policyAdded(policyOf({ secondFactors: [] })));
  await write(organizationRef("1148"), event.organizationRemoved());
  const view = await store.read([instanceRef]);
  const changes = createWatchedChanges({ store, history: createPolicyHistory(store) });
  for (const wanted of ["all", ids] as const) {
    const pages = snapshotPolicies({ instance: true, organizations: wanted }, { store, changes, view });
    const { value: first } = await pages.next();
    const since = await store.read([organizationRef("1149"), organizationRef("1147")]);
    if (since.get(organizationRef("1147")).state?.loginPolicy === undefined) {
      await write(organizationRef("1149"), event.policyRemoved());
      await write(organizationRef("1147"), event.policyAdded(policyOf({ multiFactors: [] })));
      await write(instanceRef, event.policyChanged({ forceMfa: true }));
    }
    const { value: second } = await pages.next();
    expect((await pages.next()).done).toBe(true);
    const all = [...(first ?? []), ...(second ?? [])];
    expect(first).toHaveLength(100);
    expect(all.map(({ subject }) => subject.id)).toEqual(["instance", ...ids.filter((id) => id !== "1148")]);
    const own = all.filter(({ owner }) => owner.type === "organization");
    expect(own.map(({ subject, policy }) => [subject.id, policy.secondFactors])).toEqual([["1149", []]]);
    expect(new Set(all.map(({ policy }) => policy.settings.forceMfa))).toEqual(new Set([false]));
  }
});
