import type { Type } from '@nestjs/common'
import type { Request, Response } from 'express'
import { type Paging, pagingBy } from '../openapi/paging.js'

/** More than this and clients may refuse the whole answer: Node's take 16 KiB of headers. */
const MOST_CHARACTERS = 8_000

/**
 * The `Link` of a page (RFC 8288): where the first, the previous, the next and the last one are, with all that was asked besides. The
 * request has passed validation. What the answer itself says counts: its `total`, or where a page goes on, its `next`; and where it says
 * neither, a page that is full may have a next one. Links are relative, so that they hold behind any proxy; what does not fit is left
 * out, the most useful last.
 */
export function pageLinks(request: Request, paging: Paging, page: Readonly<Record<string, unknown>>): string {
  const query = new URLSearchParams(request.originalUrl.split('?').slice(1).join('?'))
  const path = request.path.replace(/[^!#$&-;=?-Z_a-z~%]/g, encodeURIComponent)
  let links = ''
  for (const [relation, start] of targets(paging, query, page)) {
    const asked = new URLSearchParams(query)
    if (start === undefined) asked.delete(paging.start.name)
    else asked.set(paging.start.name, String(start))
    const search = asked.toString()
    const link = `<${path}${search && `?${search}`}>; rel="${relation}"`
    if (links.length + link.length > MOST_CHARACTERS) break
    links += `${links && ', '}${link}`
  }
  return links
}

/** For a handler that sends its answer itself: sends a page, with its `Link`. */
export function sendPage(request: Request, response: Response, query: Type<unknown>, page: object): void {
  const paging = pagingBy(query)
  if (paging) response.setHeader('Link', pageLinks(request, paging, { ...page }))
  response.json(page)
}

type Target = [relation: string, start: string | number | undefined]

function targets({ size, start }: Paging, query: URLSearchParams, page: Readonly<Record<string, unknown>>): Target[] {
  if (start.counts === 'nothing') {
    const next: Target[] = typeof page.next === 'string' ? [['next', page.next]] : []
    return [...next, ['first', undefined]]
  }
  const most = Math.min(Number(query.get(size.name) ?? size.default), size.max)
  const step = start.counts === 'pages' ? 1 : most
  const at = Number(query.get(start.name) ?? 0)
  const total = typeof page.total === 'number' ? page.total : undefined
  const behind = total === undefined ? undefined : start.counts === 'pages' ? Math.ceil(total / most) : total
  const isMore = behind === undefined ? isFull(page, most) : at + step < behind
  return [
    ...(isMore ? [['next', at + step] satisfies Target] : []),
    ...(at > 0 ? [['prev', Math.max(0, at - step)] satisfies Target] : []),
    ['first', 0],
    ...(behind === undefined ? [] : [['last', lastStart(at, step, behind)] satisfies Target]),
  ]
}

/** Where the pages do not begin at a multiple of their size, the last one does not either. */
function lastStart(at: number, step: number, behind: number): number {
  const shift = at % step
  return behind > shift ? shift + Math.floor((behind - 1 - shift) / step) * step : 0
}

function isFull(page: Readonly<Record<string, unknown>>, most: number): boolean {
  return Object.values(page).some((member) => Array.isArray(member) && member.length >= most)
}
