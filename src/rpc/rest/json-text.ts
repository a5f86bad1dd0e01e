// Checks of JSON text that JSON.parse does not make.

/** Whether JSON text, valid or not, is nested deeper than that. Parsers recurse once per level, and the stack is limited. */
export function isNestedDeeper(text: string, maxDepth: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length && depth <= maxDepth; at += 1) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") depth -= 1;
  }
  return depth > maxDepth;
}

/**
 * The path to the first key that an object of valid JSON text has twice: keys, and indexes of arrays. `JSON.parse` would keep the
 * last value in silence. Undefined where there is none.
 */
export function findRepeatedKey(text: string): readonly (string | number)[] | undefined {
  // What is open, and where in it the text is; an array has no keys.
  const open: { readonly keys?: Set<string>; at: string | number }[] = [];
  let isKeyNext = false;
  for (let at = 0; at < text.length; at += 1) {
    const within = open.at(-1);
    switch (text.charAt(at)) {
      case '"': {
        const end = endOfString(text, at);
        if (isKeyNext && within?.keys !== undefined) {
          // Keys are the same however they are escaped.
          within.at = JSON.parse(text.slice(at, end + 1)) as string;
          if (within.keys.has(within.at)) return open.map((one) => one.at);
          within.keys.add(within.at);
        }
        isKeyNext = false;
        at = end;
        break;
      }
      case "{":
        open.push({ keys: new Set(), at: "" });
        isKeyNext = true;
        break;
      case "[":
        open.push({ at: 0 });
        isKeyNext = false;
        break;
      case "}":
      case "]":
        open.pop();
        isKeyNext = false;
        break;
      case ",":
        isKeyNext = within?.keys !== undefined;
        if (typeof within?.at === "number") within.at += 1;
        break;
    }
  }
  return undefined;
}

/**
 * The place of the quote that ends a string; the end of the text where none does. A regular expression would start again at
 * every quote.
 */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
