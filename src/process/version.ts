import { readFileSync } from "node:fs";

// The compiled package is one folder deeper (dist/) than the checkout.
const packageFile = new URL(
  import.meta.url.endsWith(".ts") ? "../../package.json" : "../../../package.json",
  import.meta.url,
);

/** The version of this program. */
export const { version } = JSON.parse(readFileSync(packageFile, "utf8")) as { readonly version: string };
