/**
 * A path template of a google.api.http rule, as far as it is understood here:
 *
 *     Template = "/" Segment { "/" Segment }
 *     Segment  = LITERAL | "{" FIELD "}"
 *
 * A variable takes exactly one segment of the path. Wildcards outside a variable, `**`, verbs after a colon and dotted
 * field paths are refused when the server starts.
 */
export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  /** `field` is the proto name of a field of the request message. */
  | { readonly kind: "variable"; readonly field: string };

/** Reads a template. Throws an Error that says what is wrong with it. */
export function parseTemplate(template: string): readonly Segment[] {
  if (!template.startsWith("/")) throw new Error(`path template "${template}" does not start with a slash`);
  const segments = template
    .slice(1)
    .split("/")
    .map((text): Segment => {
      const field = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:=\*)?\}$/.exec(text)?.[1];
      if (field !== undefined) return { kind: "variable", field };
      if (/^[A-Za-z0-9\-_.~]+$/.test(text)) return { kind: "literal", text };
      throw new Error(`path template "${template}" has a segment that is not understood: "${text}"`);
    });
  const fields = segments.flatMap((segment) => (segment.kind === "variable" ? [segment.field] : []));
  if (new Set(fields).size < fields.length) throw new Error(`path template "${template}" names a field twice`);
  return segments;
}
