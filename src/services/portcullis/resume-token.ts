import { hash } from "node:crypto";
import { Code } from "@connectrpc/connect";
import type { Cursor, EventMark } from "../../application/watched-changes.ts";
import { invalidField, refusal } from "./errors.ts";

/** A later form of tokens gets another number. */
const version = 1;
const field = "resume_token";

/** A place in the history of one instance. It grants nothing, and every node knows it, for the life of the store. */
export interface Place {
  readonly instanceId: string;
  readonly cursor: Cursor;
  /** The event at the position; undefined for position 0, where there is none. */
  readonly mark: EventMark | undefined;
}

export function resumeToken({ instanceId, cursor, mark }: Place): string {
  const parts = [
    version,
    instanceId,
    cursor.position,
    digestOf(mark),
    ...(cursor.subject === undefined ? [] : [cursor.subject]),
  ];
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Tells the event from the one that another history has at its position: no two are of one time, and of one stream's place. */
function digestOf(mark: EventMark | undefined): string {
  if (mark === undefined) return "";
  const { position, ref, sequence, recordedAt, actor } = mark;
  return hash("sha256", JSON.stringify([position, ref.type, ref.id, sequence, recordedAt, actor]), "base64url").slice(
    0,
    16,
  );
}

/**
 * Where a token resumes. `markAt` reads the event at a position. Rejects with invalid_argument for what is no token, and with
 * out_of_range for one of another history.
 */
export async function readResumeToken(
  token: string,
  store: { readonly instanceId: string; markAt(position: number): Promise<EventMark | undefined> },
): Promise<Cursor> {
  const { instanceId, cursor, digest } = parse(token);
  const mark = await store.markAt(cursor.position);
  const isKnown = cursor.position === 0 || mark !== undefined;
  if (isKnown && instanceId === store.instanceId && digest === digestOf(mark)) return cursor;
  throw refusal({
    code: Code.OutOfRange,
    reason: "RESUME_TOKEN_MISMATCH",
    text: `${field}: it is of another store, or of a history that a restore has replaced: watch again with a snapshot`,
    field,
  });
}

function parse(token: string): { readonly instanceId: string; readonly cursor: Cursor; readonly digest: string } {
  const parts = partsOf(token);
  if (parts !== undefined && (parts.length === 4 || parts.length === 5)) {
    const [form, instanceId, position, digest, subject] = parts;
    const isPosition = Number.isSafeInteger(position) && (position as number) >= 0;
    const areTexts = [instanceId, digest, subject ?? ""].every((part) => typeof part === "string");
    if (form === version && isPosition && areTexts) {
      const cursor = { position: position as number, ...(subject !== undefined && { subject: subject as string }) };
      return { instanceId: instanceId as string, cursor, digest: digest as string };
    }
  }
  throw invalidField(field, "send the resume_token of an answer, or none", "RESUME_TOKEN_INVALID");
}

function partsOf(token: string): readonly unknown[] | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(parts) ? parts : undefined;
  } catch {
    return undefined;
  }
}
