// playwright-core's types use these names of the DOM library, which this project leaves out. Only playwright's selectors by
// element type are poorer for it.
type Node = object;
type HTMLElement = object;
type SVGElement = object;
type HTMLElementTagNameMap = Record<never, never>;
