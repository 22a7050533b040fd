/** The tag as our own words have it: without the quotes of a header, and without what says that it is a weak one. */
export function unquoted(etag = ''): string {
  return etag.replace(/^(?:W\/)?"|"$/g, '')
}
