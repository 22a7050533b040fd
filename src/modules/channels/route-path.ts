/** A piece of a route's path: `orders` is itself, `{id}` or `:id` is any one segment, handed on under its name. */
type Segment = { literal: string } | { parameter: string }

const PARAMETER = /^(?:\{([A-Za-z_][A-Za-z0-9_]{0,63})\}|:([A-Za-z_][A-Za-z0-9_]{0,63}))$/
/** What a path can hold when it is written as people read it: nothing is escaped, and nothing of it means something else in a URL. */
const LITERAL = /^(?!\.{1,2}$)[^:{}\s/?#%\\\p{C}][^{}\s/?#%\\\p{C}]*$/u

/** The pieces of a path such as `/orders/{id}`, or undefined where it is none. A slash at its end says nothing. */
export function segmentsOf(path: string): Segment[] | undefined {
  if (!path.startsWith('/')) return undefined
  const texts = path.replace(/\/$/, '').split('/').slice(1)
  const segments = texts.flatMap((text): Segment[] => {
    const [, inBraces, behindColon] = PARAMETER.exec(text) ?? []
    const parameter = inBraces ?? behindColon
    if (parameter !== undefined) return [{ parameter }]
    return LITERAL.test(text) ? [{ literal: text }] : []
  })
  const names = segments.flatMap((segment) => ('parameter' in segment ? segment.parameter : []))
  const isWhole = segments.length === texts.length && new Set(names).size === names.length
  return isWhole ? segments : undefined
}

/** The same for all paths that take the same requests: the names of parameters make no difference. */
export function shapeOf(path: string): string {
  return `/${(segmentsOf(path) ?? []).map((segment) => ('literal' in segment ? segment.literal : '{}')).join('/')}`
}

/** The segments of a request's path, each decoded by itself; undefined where no route can mean it: `..`, `.`, empty ones. */
export function requestedSegments(rawPath: string): string[] | undefined {
  if (rawPath === '' || rawPath === '/') return []
  const texts = rawPath.replace(/^\//, '').replace(/\/$/, '').split('/')
  const decoded = texts.map((text) => decodeURIComponent(text))
  return decoded.some((text) => /^\.{0,2}$/.test(text)) ? undefined : decoded
}

export interface RouteMatch<Route> {
  route: Route
  params: Record<string, string>
}

interface Routed {
  httpMethod: string | null
  path: string | null
}

/**
 * The route for a request, or the methods that its path does have: none where it is nowhere. Of several paths the one wins that is
 * literal where the others are not, as seen from the left.
 */
export function matchRoute<Route extends Routed>(
  routes: readonly Route[],
  method: string,
  requested: readonly string[],
): RouteMatch<Route> | { allowed: string[] } {
  const fitting = routes
    .flatMap((route) => {
      const segments = route.path === null ? undefined : segmentsOf(route.path)
      return segments && fits(segments, requested) ? [{ route, segments }] : []
    })
    .sort((a, b) => rankOf(a.segments) - rankOf(b.segments))
  const found =
    fitting.find(({ route }) => route.httpMethod === method) ??
    (method === 'HEAD' ? fitting.find(({ route }) => route.httpMethod === 'GET') : undefined)
  if (!found) return { allowed: [...new Set(fitting.map(({ route }) => route.httpMethod ?? ''))].sort() }
  const params = found.segments.flatMap((segment, index): [string, string][] =>
    'parameter' in segment ? [[segment.parameter, requested[index] ?? '']] : [],
  )
  return { route: found.route, params: Object.fromEntries(params) }
}

function fits(segments: readonly Segment[], requested: readonly string[]): boolean {
  return (
    segments.length === requested.length &&
    segments.every((segment, index) => 'parameter' in segment || segment.literal === requested[index])
  )
}

/** Less where a literal stands further to the left; paths that are compared have as many segments. */
function rankOf(segments: readonly Segment[]): number {
  return segments.reduce((rank, segment) => rank * 2 + ('literal' in segment ? 0 : 1), 0)
}
