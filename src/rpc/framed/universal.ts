import type { ConnectRouter } from "@connectrpc/connect";

/** A handler of Connect, and what it takes and answers, by types that are public. */
export type UniversalHandler = ConnectRouter["handlers"][number];
export type UniversalServerRequest = Parameters<UniversalHandler>[0];
export type UniversalServerResponse = Awaited<ReturnType<UniversalHandler>>;
