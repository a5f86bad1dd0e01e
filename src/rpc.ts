/** The package `@portcullis/rpc`, under the name that it had before it was one. */
export * from "@portcullis/rpc";
