import { isJsonObject, type Json } from '../platform/json.js'

type Segment = { member: string } | { index: number } | { all: true }

const SEGMENT =
  /\.([\p{L}_$][\p{L}\p{N}_$-]*)|\[(-?[0-9]{1,9})\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]|(\[\*\]|\.\*)/uy

/**
 * The part of JSONPath that mappings need: `$`, `.name`, `['name']`, `[n]` (negative counts from the end) and `[*]`. A path without `[*]`
 * means one value, null where there is none; a path with `[*]` means the list of all values that it reaches.
 */
export function readPath(path: string, value: Json): Json {
  const segments = parse(path)
  if (!segments) throw new Error(`'${path}' is not a path such as $.items[0].name`)
  let reached: Json[] = [value]
  for (const segment of segments) reached = reached.flatMap((one) => step(segment, one))
  return segments.some((segment) => 'all' in segment) ? reached : (reached[0] ?? null)
}

export function isJsonPath(path: string): boolean {
  return parse(path) !== undefined
}

function parse(path: string): Segment[] | undefined {
  if (!path.startsWith('$')) return undefined
  const segments: Segment[] = []
  let end = 1
  while (end < path.length) {
    SEGMENT.lastIndex = end
    const match = SEGMENT.exec(path)
    if (!match) return undefined
    const [, name, index, single, double] = match
    const quoted = single ?? double
    if (name !== undefined) segments.push({ member: name })
    else if (index !== undefined) segments.push({ index: Number(index) })
    else if (quoted !== undefined) segments.push({ member: quoted.replace(/\\(.)/g, '$1') })
    else segments.push({ all: true })
    end = SEGMENT.lastIndex
  }
  return segments
}

/** What one segment reaches from one value: nothing, one value or many. Only own members count. */
function step(segment: Segment, value: Json): Json[] {
  if ('all' in segment) return Array.isArray(value) ? value : isJsonObject(value) ? Object.values(value) : []
  if ('index' in segment) return Array.isArray(value) ? present(value.at(segment.index)) : []
  return isJsonObject(value) && Object.hasOwn(value, segment.member) ? present(value[segment.member]) : []
}

function present(value: Json | undefined): Json[] {
  return value === undefined ? [] : [value]
}
