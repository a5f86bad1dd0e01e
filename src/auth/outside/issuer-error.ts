/** An unusable answer of an issuer. The message quotes nothing of it. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

/**
 * The error to report for a failed request to an issuer. Its cause is a copy of the message alone: the errors of oauth4webapi
 * contain whole answers, and those of JSON quote them, so tokens and claims could reach the log.
 */
export function describeFailure(
  error: unknown,
  { url, wanted }: { readonly url: string; readonly wanted: string },
): Error {
  return new IssuerError(`the issuer ${url} did not return ${wanted}`, { cause: withoutContent(error) });
}

function withoutContent(error: unknown): Error {
  if (!(error instanceof Error)) return new Error("not an error");
  if (error instanceof SyntaxError) return new Error("not JSON");
  const { code } = error as { readonly code?: unknown };
  // Node's fetch says only "fetch failed"; the reason is in its cause.
  const cause = error.message === "fetch failed" ? { cause: withoutContent(error.cause) } : undefined;
  return new Error(error.message || (typeof code === "string" ? code : error.name), cause);
}
