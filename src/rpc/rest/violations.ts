import type { ConnectError } from "@connectrpc/connect";
import { violation } from "../call/violation.ts";

/** An error in the whole body, or in the path or query, that belongs to no field of the message. */
export const flaw = (part: "body" | "url", text: string, cause?: unknown): ConnectError =>
  violation(text, { field: part, description: text, cause });

/** A caller's text in a sentence: its beginning, which is enough to find it, and a blank one in quotes. */
export const shown = (text: string): string =>
  text.trim() === "" ? JSON.stringify(text) : text.slice(0, 100).toWellFormed();

/** A text that is no value of its field. The message begins as grpc-gateway's does, which clients may look for. */
export function mismatch(
  field: string,
  { text, wanted, cause }: { readonly text: string; readonly wanted: string; readonly cause: unknown },
): ConnectError {
  const description = `${shown(text)} is not valid: send ${wanted}`;
  return violation(`type mismatch, parameter: ${shown(field)}, error: ${description}`, { field, description, cause });
}

/** A field that cannot be set so, or is set twice. */
export function conflict(field: string, description: string): ConnectError {
  return violation(`invalid parameter ${shown(field)}: ${description}`, { field, description });
}
