/** The generated SDK is written against the browser's types; those of Node lack this one name. */
type BodyInit = NonNullable<RequestInit['body']>
