import { expect, test } from 'vitest'
import { membersOf, pointerOf, pointerTo } from './json-pointer.js'

test.each([
  [[], ''],
  [['nodes', 'a', '0'], '/nodes/a/0'],
  [['a/b', 'm~n', '~1', ''], '/a~1b/m~0n/~01/'],
])('%j is %j, and back', (members, pointer) => {
  expect(pointerOf(members)).toBe(pointer)
  expect(membersOf(pointer)).toEqual(members)
})

test('one step further down', () => {
  expect(pointerTo('/headers', 'a/b')).toBe('/headers/a~1b')
  expect(pointerTo('', 'url')).toBe('/url')
})
