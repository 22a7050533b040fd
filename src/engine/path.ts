/** What paths are punctuated with. In a node's name these are spelled by their code, so that no name reads as another node's visit. */
const MARKS = /[%#[\].]/g
const SPELLED = /%([0-9A-F]{2})/g
/** Between two dots: a name, which visit, which round. */
const PART = /^([^#[]*)(?:#(\d+))?(?:\[(\d*)\])?$/
const NOT_PRINTABLE_ASCII = /[^\x21-\x7e]/gu

/** The path of a visit to a node: `fetch`, and `fetch#2` when a loop comes by again. */
export function visitPath(node: string, visit: number): string {
  const name = node.replace(MARKS, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
  return visit === 1 ? name : `${name}#${visit}`
}

/** The path of one item of a batch: `fetch[12]`. */
export function itemPath(visit: string, index: number): string {
  return `${visit}[${index}]`
}

/** The path under which a batch keeps the list that it computed: `fetch[]`. */
export function itemsPath(visit: string): string {
  return `${visit}[]`
}

/** A visit that a path goes through, and where it goes on below one, in which round or item. */
export interface Visit {
  node: string
  visit: number
  round?: number
}

/** The visits that a path goes through, the outermost first: those of `each` in its round 3, and of `fetch`, for `each[3].fetch`. */
export function visitsOf(path: string): Visit[] {
  return path.split('.').map((part) => {
    const [, name = '', visit, round] = PART.exec(part) ?? []
    const node = name.replace(SPELLED, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    return { node, visit: Number(visit ?? 1), ...(round && { round: Number(round) }) }
  })
}

/** The same on every attempt, also after a crash. Printable ASCII, since it travels as a header. */
export function idempotencyKey(run: { id: string; keyBase?: string }, path: string): string {
  return `${run.keyBase ?? run.id}:${path.toWellFormed().replace(NOT_PRINTABLE_ASCII, encodeURIComponent)}`
}

/** The visits and rounds that a path lies in, the outermost first: `each` and `each[3]` for `each[3].fetch`. */
export function* surroundingsOf(path: string): Generator<string> {
  for (const { index, 0: mark } of path.matchAll(/\[|\]\./g)) yield path.slice(0, mark === '[' ? index : index + 1)
}
