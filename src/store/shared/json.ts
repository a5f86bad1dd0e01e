/**
 * Parses JSON that was stored. Throws an Error that repeats nothing of it, as the parser's own would: what is stored may be
 * secret, and errors go to the log.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is no JSON");
  }
}
