// PostgreSQL's text holds every character but NUL. So NUL is written as \0, and a backslash as two.

export const toText = (value: string): string =>
  value.replace(/[\\\0]/g, (character) => (character === "\0" ? "\\0" : "\\\\"));

export const fromText = (text: string): string =>
  text.replace(/\\(.)/g, (_, character: string) => (character === "0" ? "\0" : character));
