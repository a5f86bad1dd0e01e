import { openStore } from "../../src/store/open.ts";
import { defineStoreSuite } from "./suite.ts";

const ownStore = "a store in memory belongs to the one who opened it";

defineStoreSuite({
  name: "memory",
  open: ({ clock }) => openStore({ location: "memory:", clock }),
  except: [
    { test: "shows at once what another store on the same place acknowledged", reason: ownStore },
    { test: "shows at once every event that another store acknowledged", reason: ownStore },
    { test: "shows at once what another store acknowledged, and none that was removed", reason: ownStore },
    { test: "resolves when another store on the same place commits an event", reason: ownStore },
    { test: "need show no more than an earlier view, and never less", reason: ownStore },
    { test: "loses no update between two stores with 64 writers each", reason: ownStore },
    { test: "lets one of two stores have a key that both claim", reason: ownStore },
    { test: "refuses nothing by what another store on the same place has changed since", reason: ownStore },
    { test: "uses a record once, whichever store on the same place is asked", reason: ownStore },
    { test: "shows nothing of it before it was checked, and what it would be to the check", reason: ownStore },
    { test: "shows at once that another writer has removed all records", reason: ownStore },
    { test: "removes records some time after they ended, and no others", reason: ownStore },
    {
      test: "keeps records when it is reopened and when the projection is rebuilt",
      reason: "a store in memory ends with close()",
    },
    {
      test: "leaves a store that goes on where it ended when it is opened again",
      reason: "a store in memory ends with close()",
    },
  ],
});
