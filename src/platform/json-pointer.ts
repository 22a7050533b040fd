/* JSON pointers, RFC 6901: where a value stands in a document. The empty pointer is the document itself. */

/** The pointer of a member below `pointer`. */
export function pointerTo(pointer: string, member: string): string {
  return `${pointer}/${member.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

/** The pointer that leads through these members. */
export function pointerOf(members: readonly string[]): string {
  return members.reduce(pointerTo, '')
}

/** The members that a pointer leads through. */
export function membersOf(pointer: string): string[] {
  const [, ...members] = pointer.split('/')
  return members.map((member) => member.replaceAll('~1', '/').replaceAll('~0', '~'))
}
