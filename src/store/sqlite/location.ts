/** The path in `sqlite:PATH`; undefined for any other location. */
export function parseSqlitePath(location: string): string | undefined {
  const path = /^sqlite:(.+)$/s.exec(location)?.[1];
  // Two slashes would make the first folder look like a host; three are an absolute path, as in a URL.
  if (path === undefined || path.includes("\0") || path === ":memory:" || /^\/\/[^/]/.test(path)) return undefined;
  return path;
}
