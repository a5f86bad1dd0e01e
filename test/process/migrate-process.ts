import { finishStore, migrateStore } from "../../src/store/open.ts";

// A process that brings a store to the newest schema: node migrate-process.ts LOCATION; with "finish" after it, it ends the migration.

const [location = "", work] = process.argv.slice(2);
await (work === "finish" ? finishStore({ location }) : migrateStore({ location }));
