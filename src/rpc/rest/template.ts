/**
 * A path template of a google.api.http rule:
 *
 *     Template  = "/" [ Segments [ ":" LITERAL ] ]
 *     Segments  = Segment { "/" Segment }
 *     Segment   = "*" | "**" | LITERAL | Variable
 *     Variable  = "{" FieldPath [ "=" Segments ] "}"
 *     FieldPath = IDENT { "." IDENT }
 *
 * `*` takes one segment of a path, `**` any number of them. google/api/http.proto has this grammar, and forbids a variable in
 * another. Two things differ: `/` alone is a template, and segments may follow `**`, as in Firestore's rules.
 */
export interface PathTemplate {
  readonly segments: readonly Segment[];
  readonly variables: readonly Variable[];
  /** The text after the colon of the last segment. */
  readonly verb?: string;
}

export type Segment =
  /** Percent-decoded. */
  { readonly kind: "literal"; readonly text: string } | { readonly kind: "one" } | { readonly kind: "rest" };

export interface Variable {
  /** Proto names, from the request message inwards. */
  readonly fieldPath: readonly string[];
  /** Its segments of the template: from `start`, up to but without `end`. */
  readonly start: number;
  readonly end: number;
  /** Whether its template has several segments, even if a path has one there: then `%2F` stays as it is. */
  readonly isMultiple: boolean;
}

/** Reads a template. Throws an Error that says what is wrong with it, and at which character. */
export function parseTemplate(template: string): PathTemplate {
  return new Parser(template).parse();
}

const identifier = /[A-Za-z_][A-Za-z0-9_]*/y;
/**
 * Unescaped characters of a path and percent-encoded bytes (RFC 3986, 3.3), without `*`, and without the colon that begins the
 * verb.
 */
const literal = /(?:[A-Za-z0-9\-_.~!$&'()+,;@]|%[0-9A-Fa-f]{2})+/y;

class Parser {
  readonly #text: string;
  #at = 0;
  readonly #segments: Segment[] = [];
  readonly #variables: Variable[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  parse(): PathTemplate {
    if (this.#text === "/") return { segments: [], variables: [] };
    if (!this.#takes("/")) throw this.#wrong("it must begin with a slash");
    this.#readSegments({ isInVariable: false });
    const verb = this.#takes(":") ? this.#readLiteral("a verb") : undefined;
    if (this.#at < this.#text.length) throw this.#unexpected();
    this.#checkVariables();
    return { segments: this.#segments, variables: this.#variables, ...(verb !== undefined && { verb }) };
  }

  #readSegments(place: { readonly isInVariable: boolean }): void {
    do {
      if (this.#text.startsWith("**", this.#at)) this.#readRest();
      else if (this.#takes("*")) this.#segments.push({ kind: "one" });
      else if (this.#takes("{")) this.#readVariable(place);
      else this.#segments.push({ kind: "literal", text: this.#readSegmentLiteral() });
    } while (this.#takes("/"));
  }

  #readRest(): void {
    if (this.#segments.some(({ kind }) => kind === "rest")) {
      throw this.#wrong("a template has one ** at most: a path could be divided between two in many ways");
    }
    this.#takes("**");
    this.#segments.push({ kind: "rest" });
  }

  #readVariable({ isInVariable }: { readonly isInVariable: boolean }): void {
    if (isInVariable) throw this.#wrong("a variable cannot hold another");
    const fieldPath = [this.#readIdentifier()];
    while (this.#takes(".")) fieldPath.push(this.#readIdentifier());
    const start = this.#segments.length;
    if (this.#takes("=")) this.#readSegments({ isInVariable: true });
    else this.#segments.push({ kind: "one" });
    if (!this.#takes("}")) throw this.#unexpected("a variable must end with }");
    const end = this.#segments.length;
    const isMultiple = end - start > 1 || this.#segments[start]?.kind === "rest";
    this.#variables.push({ fieldPath, start, end, isMultiple });
  }

  #readIdentifier(): string {
    const text = this.#match(identifier);
    if (text === undefined)
      throw this.#unexpected("a field name has letters, digits and underscores, and begins with no digit");
    return text;
  }

  #readSegmentLiteral(): string {
    const text = this.#readLiteral("a segment");
    if (text === "." || text === "..") throw this.#wrong("no path that is served has a segment of dots");
    return text;
  }

  #readLiteral(what: string): string {
    const text = this.#match(literal);
    if (text === undefined) throw this.#unexpected(`${what} is missing`);
    try {
      return decodeURIComponent(text);
    } catch {
      throw this.#wrong("the percent-encoded bytes before are no UTF-8");
    }
  }

  #checkVariables(): void {
    const names = this.#variables.map(({ fieldPath }) => fieldPath.join("."));
    const twice = names.find((name, index) => names.indexOf(name) < index);
    if (twice !== undefined) throw this.#wrong(`it names the field ${twice} twice`);
    const outer = names.find((name) => names.some((other) => other.startsWith(`${name}.`)));
    if (outer !== undefined) throw this.#wrong(`it names the field ${outer} and a field in it`);
  }

  #takes(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#text)?.[0];
    this.#at += text?.length ?? 0;
    return text;
  }

  #unexpected(otherwise?: string): Error {
    const character = this.#text[this.#at];
    if (character === "?") {
      return this.#wrong("a path has no query: the fields that it does not bind are query parameters by themselves");
    }
    return this.#wrong(otherwise ?? `"${character}" cannot stand here`);
  }

  #wrong(reason: string): Error {
    return new Error(`path template "${this.#text}", character ${this.#at + 1}: ${reason}`);
  }
}
