/** An issuer answered something that cannot be used. The message quotes nothing of the answer. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/**
 * What to report where an issuer could not be asked. The cause is a copy of the error's message alone: oauth4webapi attaches
 * whole answers to its errors, and JSON's errors quote them, so tokens and claims could come into a log.
 */
export function describeFailure(
  error: unknown,
  { url, wanted }: { readonly url: string; readonly wanted: string },
): Error {
  return new IssuerError(`the issuer ${url} did not give ${wanted}`, { cause: withoutContent(error) });
}

function withoutContent(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("not an error");
  if (error instanceof SyntaxError) return new Error("not JSON");
  const { code } = error as { readonly code?: unknown };
  // Node's fetch says only "fetch failed", and its cause why.
  const cause = error.message === "fetch failed" ? { cause: withoutContent(error.cause) } : undefined;
  return new Error(error.message || (typeof code === "string" ? code : error.name), cause);
}
