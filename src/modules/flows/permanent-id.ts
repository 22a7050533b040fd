/** The longest that a name for programs may be. */
export const PERMANENT_ID = /^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$/

/** A name for programs made of a flow's name, and of its id, so that no other flow has it. */
export function permanentIdOf(name: string, id: string): string {
  const slug = name
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-+|-+$/g, '')
  return `${slug || 'flow'}-${id.slice(-6).toLowerCase()}`
}
