import { join } from "node:path";
import { openStore } from "../../src/store/open.ts";
import { defineStoreSuite } from "./suite.ts";

defineStoreSuite({
  name: "sqlite",
  open: ({ place, clock }) => openStore({ location: `sqlite:${join(place, "store.db")}`, clock }),
  except: [],
});
