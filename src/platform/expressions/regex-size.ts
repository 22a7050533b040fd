const COUNT = /\{(\d{1,9})(?:,(\d{0,9}))?\}/y

/**
 * How many instructions a pattern comes to, roughly and rather too many: what is repeated counts as often as it may be. Known before the
 * pattern is compiled, since compiling is what takes the time and the memory. What is no pattern at all is left to the compiler.
 */
export function sizeOfPattern(pattern: string): number {
  /** Of each group that is open: what it has so far, and the piece that a repetition would be of. */
  const open: { size: number; piece: number }[] = []
  let group = { size: 0, piece: 0 }
  const add = (size: number) => {
    group.size += size
    group.piece = size
  }
  for (let at = 0; at < pattern.length; at++) {
    switch (pattern[at]) {
      case '\\':
        if (pattern[at + 1] === 'Q') {
          const end = pattern.indexOf('\\E', at + 2)
          const literal = (end < 0 ? pattern.length : end) - at - 2
          group.size += literal
          group.piece = Math.min(1, literal)
          at = end < 0 ? pattern.length : end + 1
        } else {
          at++
          add(1)
        }
        break
      case '[':
        at = endOfClass(pattern, at)
        add(1)
        break
      case '(':
        open.push(group)
        group = { size: 2, piece: 0 }
        break
      case ')': {
        const { size } = group
        group = open.pop() ?? group
        add(size)
        break
      }
      case '{': {
        COUNT.lastIndex = at
        const [whole, least, most] = COUNT.exec(pattern) ?? []
        if (whole === undefined) {
          add(1)
          break
        }
        const times = Math.max(Number(least), most ? Number(most) : Number(least) + 1)
        const { piece } = group
        group.size += piece * Math.max(0, times - 1) + 1
        group.piece = piece * Math.max(1, times) + 1
        at += whole.length - 1
        break
      }
      case '*':
      case '+':
      case '?':
        group.size++
        group.piece++
        break
      case '|':
        group.size++
        group.piece = 0
        break
      default:
        add(1)
    }
  }
  return open.reduce((total, { size }) => total + size, group.size)
}

/** Where the class that begins here ends; a `]` right at its beginning belongs to it. */
function endOfClass(pattern: string, start: number): number {
  let at = start + 1
  if (pattern[at] === '^') at++
  if (pattern[at] === ']') at++
  for (; at < pattern.length; at++) {
    if (pattern[at] === '\\') at++
    else if (pattern[at] === ']') return at
  }
  // A class without an end does not compile.
  return pattern.length
}
