import { describe, expect, it } from 'vitest'
import { matchRoute, requestedSegments, segmentsOf, shapeOf } from './route-path.js'

const route = (httpMethod: string, path: string) => ({ httpMethod, path })

function found(routes: { httpMethod: string; path: string }[], method: string, path: string) {
  const segments = requestedSegments(path)
  return segments && matchRoute(routes, method, segments)
}

describe("a route's path", () => {
  it.each([
    '/',
    '/orders',
    '/orders/{id}',
    '/orders/:id/lines/{line}',
    '/v1/items:search',
    '/größe',
    '/a.b',
    '/orders/',
  ])('can be %s', (path) => {
    expect(segmentsOf(path)).toBeDefined()
  })

  it.each([
    '',
    'orders',
    '//',
    '/a//b',
    '/..',
    '/a/./b',
    '/a?b',
    '/a#b',
    '/a%2Fb',
    '/a b',
    '/a\\b',
    '/{}',
    '/{a b}',
    '/{a}x',
    '/:',
    '/{id}/:id',
    '/a\u0000',
  ])('cannot be %j', (path) => {
    expect(segmentsOf(path)).toBeUndefined()
  })

  it('is the same as another that differs in names, or in a slash at its end', () => {
    expect(shapeOf('/orders/:id/')).toBe(shapeOf('/orders/{order}'))
    expect(shapeOf('/')).toBe('/')
    expect(shapeOf('/orders/{id}')).not.toBe(shapeOf('/orders/id'))
  })
})

describe('a request', () => {
  it('finds its route, with the parameters decoded one by one', () => {
    const routes = [route('POST', '/orders/{id}'), route('GET', '/')]
    expect(found(routes, 'POST', '/orders/a%2F..%20b')).toEqual({ route: routes[0], params: { id: 'a/.. b' } })
    expect(found(routes, 'POST', '/orders/7/')).toMatchObject({ params: { id: '7' } })
    expect(found(routes, 'GET', '')).toMatchObject({ params: {} })
    expect(found(routes, 'HEAD', '/')).toMatchObject({ route: routes[1] })
  })

  it('prefers what is literal, from the left, whatever the order of the routes', () => {
    const routes = [route('GET', '/{a}/{b}'), route('GET', '/{a}/x'), route('GET', '/o/{b}'), route('GET', '/o/x')]
    for (const all of [routes, routes.toReversed()]) {
      expect(found(all, 'GET', '/o/x')).toMatchObject({ route: { path: '/o/x' } })
      expect(found(all, 'GET', '/o/y')).toMatchObject({ route: { path: '/o/{b}' } })
      expect(found(all, 'GET', '/p/x')).toMatchObject({ route: { path: '/{a}/x' } })
      expect(found(all, 'GET', '/p/y')).toMatchObject({ route: { path: '/{a}/{b}' } })
    }
  })

  it('with another method is told which there are; one path further on there are none', () => {
    const routes = [route('POST', '/o/{id}'), route('GET', '/o/x'), route('GET', '/o/{id}')]
    expect(found(routes, 'PUT', '/o/x')).toEqual({ allowed: ['GET', 'POST'] })
    expect(found(routes, 'POST', '/o/x')).toMatchObject({ route: { path: '/o/{id}' } })
    expect(found(routes, 'POST', '/o')).toEqual({ allowed: [] })
  })

  it.each(['/..', '/a/../b', '/a/%2e%2E', '/./a', '/a//b', '//', '/a/%2e'])('to %s means no route', (path) => {
    expect(requestedSegments(path)).toBeUndefined()
  })

  it('may name a parameter as objects name their own', () => {
    const [one] = [route('GET', '/{__proto__}/{constructor}')]
    const match = found([one as never], 'GET', '/a/b') as { params: object }
    expect(Object.entries(match.params)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ])
  })
})
