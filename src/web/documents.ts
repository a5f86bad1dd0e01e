import type { JsonObject } from "@bufbuild/protobuf";

/** The OpenAPI document of a server with these settings. What makes it is loaded with the call: a server seldom needs it. */
export async function loadDocument(settings: {
  /** The built-in issuer; absent: off. */
  readonly issuer?: { readonly url?: string };
}): Promise<JsonObject> {
  const [{ createApiDocument }, { version }] = await Promise.all([
    import("./openapi.ts"),
    import("../process/version.ts"),
  ]);
  return createApiDocument({ ...settings, version });
}
