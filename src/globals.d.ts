// Connect's types use this name from the DOM library, which Node's types leave out.
type HeadersInit = NonNullable<ConstructorParameters<typeof Headers>[0]>;
