import type { JsonObject } from "@bufbuild/protobuf";

/** Makes the OpenAPI document of a server with these settings. It loads the code on demand: most servers never need it. */
export async function loadDocument(settings: {
  /** The built-in issuer; absent when it is off. */
  readonly issuer?: { readonly url?: string };
}): Promise<JsonObject> {
  const [{ createApiDocument }, { version }] = await Promise.all([
    import("./openapi.ts"),
    import("../process/version.ts"),
  ]);
  return createApiDocument({ ...settings, version });
}
