import type { Request } from 'express'
import { describe, expect, it } from 'vitest'
import type { Paging } from '../openapi/paging.js'
import { pageLinks } from './page-links.js'

const OFFSET: Paging = { size: { name: 'limit', default: 10, max: 100 }, start: { name: 'offset', counts: 'items' } }
const PAGES: Paging = { size: { name: 'size', default: 25, max: 100 }, start: { name: 'page', counts: 'pages' } }
const TOKENS: Paging = {
  size: { name: 'limit', default: 1000, max: 1000 },
  start: { name: 'continuation', counts: 'nothing' },
}

function links(paging: Paging, url: string, page: object): Record<string, string> {
  const [path = '', query] = url.split('?')
  const request = { originalUrl: url, path, query } as unknown as Request
  const header = pageLinks(request, paging, { ...page })
  expect(header).toMatch(/^(<[!-;=?-~]*>; rel="[a-z]+"(, |$))+$/)
  return Object.fromEntries(
    [...header.matchAll(/<([^>]*)>; rel="([a-z]+)"/g)].map(([, to = '', relation]) => [relation, to]),
  )
}

describe('pages that are counted by what is before them', () => {
  it('lead to their neighbours and to both ends, with all that was asked besides', () => {
    expect(links(OFFSET, '/flows?tag=a%26b&offset=20&limit=10', { total: 45 })).toEqual({
      next: '/flows?tag=a%26b&offset=30&limit=10',
      prev: '/flows?tag=a%26b&offset=10&limit=10',
      first: '/flows?tag=a%26b&offset=0&limit=10',
      last: '/flows?tag=a%26b&offset=40&limit=10',
    })
  })

  it('know that they are alone, or that there is nothing', () => {
    for (const total of [0, 1, 10]) {
      expect(links(OFFSET, '/flows', { total })).toEqual({ first: '/flows?offset=0', last: '/flows?offset=0' })
    }
    expect(links(OFFSET, '/flows', { total: 11 })).toMatchObject({ next: '/flows?offset=10', last: '/flows?offset=10' })
  })

  it('hold where they do not begin at a multiple of their size, and behind the end', () => {
    expect(links(OFFSET, '/flows?offset=3', { total: 25 })).toEqual({
      next: '/flows?offset=13',
      prev: '/flows?offset=0',
      first: '/flows?offset=0',
      last: '/flows?offset=23',
    })
    expect(links(OFFSET, '/flows?offset=95', { total: 3 })).toEqual({
      prev: '/flows?offset=85',
      first: '/flows?offset=0',
      last: '/flows?offset=0',
    })
  })

  it('count a size above the largest as that', () => {
    expect(links(OFFSET, '/flows?limit=1000', { total: 250 })).toMatchObject({
      next: '/flows?limit=1000&offset=100',
      last: '/flows?limit=1000&offset=200',
    })
  })

  it('may have a next one where they are full and nobody has counted', () => {
    const full = { jobs: Array.from({ length: 10 }) }
    expect(links(OFFSET, '/jobs', full)).toEqual({ next: '/jobs?offset=10', first: '/jobs?offset=0' })
    expect(links(OFFSET, '/jobs', { jobs: [1] })).toEqual({ first: '/jobs?offset=0' })
  })
})

it('pages that have numbers lead to them', () => {
  expect(links(PAGES, '/api/flows?page=1&size=10', { total: 25, pages: 3 })).toEqual({
    next: '/api/flows?page=2&size=10',
    prev: '/api/flows?page=0&size=10',
    first: '/api/flows?page=0&size=10',
    last: '/api/flows?page=2&size=10',
  })
  expect(links(PAGES, '/api/flows', { total: 0 })).toEqual({ first: '/api/flows?page=0', last: '/api/flows?page=0' })
})

it('pages that go on from a token lead to the next, and to the first, which needs none', () => {
  expect(links(TOKENS, '/objects?prefix=a&continuation=b', { next: 'c+/=' })).toEqual({
    next: '/objects?prefix=a&continuation=c%2B%2F%3D',
    first: '/objects?prefix=a',
  })
  expect(links(TOKENS, '/objects', { next: null })).toEqual({ first: '/objects' })
})

it('whatever was asked, the links are links and no more than clients take', () => {
  const hostile = '/flows/a>; rel="next", <http:/evil?x=%3E%3B%0d%0aSet-Cookie:a&<b>"=ü&offset=1'
  const target = links(OFFSET, hostile, { total: 30 })
  expect(target.first).toMatch(/^\/flows\/a%3E;%20rel=%22next%22,%20%3Chttp:\/evil\?x=%3E%3B%0D%0ASet-Cookie%3Aa&/)
  expect(target.first).toContain('offset=0')
  const long = links(OFFSET, `/flows?offset=50&tag=${'a'.repeat(3_900)}`, { total: 300 })
  expect(Object.keys(long)).toEqual(['next', 'prev'])
})
