import type { Cannot } from "../client.ts";

export const cannot: Cannot = { gzip: "it compresses no requests" };
