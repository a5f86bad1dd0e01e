import { openStore } from "../../src/store/open.ts";
import { defineStoreSuite } from "./suite.ts";

const ownStore = "a store in memory belongs to the one who opened it";

defineStoreSuite({
  name: "memory",
  open: ({ clock }) => openStore({ location: "memory:", clock }),
  except: [
    { test: "shows at once what another store on the same place acknowledged", reason: ownStore },
    { test: "loses no update between two stores with 64 writers each", reason: ownStore },
    { test: "lets one of two stores have a key that both claim", reason: ownStore },
    {
      test: "leaves a store that goes on where it ended when it is opened again",
      reason: "a store in memory ends with close()",
    },
  ],
});
