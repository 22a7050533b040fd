/**
 * Whether a path in a folder, such as `out/a/b.csv`, matches a pattern: `*` stands for any letters of one name, `?` for one of them, `**` for
 * any folders. A pattern that is met by a folder stands for all that is in it. No pattern takes long, whoever made it up.
 */
export function matcher(patterns: readonly string[]): (path: string) => boolean {
  const all = patterns.map((pattern) => [...partsOf(pattern).filter((part) => part !== '.'), '**'])
  return (path) => {
    const parts = partsOf(path)
    return all.some((pattern) => matches(pattern, parts, '**', matchesName))
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

function matchesName(pattern: string, name: string): boolean {
  return matches([...pattern], [...name], '*', (one, other) => one === '?' || one === other)
}

/** Of several wildcards only the last is ever tried anew: whatever an earlier one could take instead, that one can take too. */
function matches(
  pattern: readonly string[],
  items: readonly string[],
  wildcard: string,
  fits: (one: string, other: string) => boolean,
): boolean {
  let at = 0
  let again: { at: number; item: number } | undefined
  for (let item = 0; item < items.length; ) {
    const one = pattern[at]
    if (one === wildcard) again = { at: ++at, item }
    else if (one !== undefined && fits(one, items[item] as string)) {
      at++
      item++
    } else if (again) {
      at = again.at
      item = ++again.item
    } else return false
  }
  return pattern.slice(at).every((one) => one === wildcard)
}
