import type { Cannot } from "../client.ts";

export const isWeb = (transport: string): boolean => transport.includes("/web");

export function cannotOver(transport: string): Cannot {
  return isWeb(transport) ? { gzip: "browsers' fetch compresses no requests" } : {};
}
